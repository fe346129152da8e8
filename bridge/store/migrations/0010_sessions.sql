-- Who is at the HMI, whether that person may decide, and which recommendation is being looked at.
alter table operator_sessions
    add column may_decide boolean,               -- by the roles of the login; null: not said
    add column may_arm boolean,                  -- likewise, and a right of its own
    add column looking_at text,                  -- a recommendation_id; no reference, because it is only a hint
    add column looked_at_timestamp timestamptz;  -- the last sign that it is still being looked at

create index operator_sessions_of_person on operator_sessions (lower(person(operator_id))) where status = 'active';
create index operator_sessions_looking on operator_sessions (looking_at)
    where status = 'active' and looking_at is not null;

-- What the pages ask for again and again must not walk the whole history.
create index agent_audit_by_time on agent_audit (at, seq);
create index agent_recommendations_by_issue on agent_recommendations (issue_type, created_timestamp desc);
create index agent_recommendations_finished on agent_recommendations (updated_timestamp)
    where status in ('executed', 'failed', 'rejected', 'expired', 'superseded');

-- The HMI hides what a login may not do; this holds also for whoever goes around it. A person without a
-- session (a plain SQL client, the command line) is nobody the HMI knows anything about, and decides as ever.
-- `door` is decide, arm or disarm: arming takes its own right, disarming either.
create function check_may(door text, name text) returns void
language plpgsql stable as $$
begin
    perform check_is_person(name, null);
    -- False only when there are sessions and each of them says no; null without any session.
    if (select bool_or(case door
                when 'decide' then may_decide is not false
                when 'arm' then may_arm is not false
                else may_decide is not false or may_arm is not false
            end) from operator_sessions
        where status = 'active' and lower(person(operator_id)) = lower(person(name))) is false then
        perform refuse('not_permitted', format(
            '%s is logged in at the HMI without the right to %s; log in as somebody who may', person(name), door));
    end if;
end
$$;

-- What proposes must not sign: the names of agents are nobody's. `maker` is who made the row, null for none.
create function check_is_person(name text, maker text) returns void
language plpgsql stable as $$
begin
    if lower(person(name)) = lower(person(maker))
       or exists (select from agent_health where lower(person(agent_id)) = lower(person(name))) then
        perform refuse('not_permitted', format('%s is an agent, and only a person may decide', person(name)));
    end if;
end
$$;

-- What a person found at the panel confirms a write only when it is the new value: as close as a read-back
-- has to be, which is never closer than one rounding step of the tag's own type.
create function check_read_back(command agent_commands) returns void
language plpgsql stable as $$
declare
    listed tag_limits;
    allowed double precision;
begin
    select * into listed from tag_limits where tag_path = command.tag_path;
    allowed := abs(command.new_value) * case when listed.data_type = 'Float' then 2.0 ^ -23 else 0.5e-9 end;
    if listed.data_type <> 'Boolean' then
        allowed := greatest(allowed, listed.tolerance);
    end if;
    if command.read_back_value is null then
        perform refuse('read_back_differs', format(
            'nobody said what the panel shows, approved was %s; settle it as failed, or say what it shows',
            btrim(command.new_value || ' ' || command.unit)));
    elsif (abs(command.read_back_value - command.new_value) <= allowed) is not true then
        perform refuse('read_back_differs', format(
            'the panel shows %s, approved was %s; settle it as failed',
            btrim(command.read_back_value || ' ' || command.unit), btrim(command.new_value || ' ' || command.unit)));
    end if;
end
$$;

-- These run after `guard` of the same table (triggers go by name), which has settled the names by then.
create function guard_decider_of_recommendation() returns trigger
language plpgsql as $$
begin
    -- An approval is met at `approvals`: there it has its name also when it is only one of several.
    if new.status in ('rejected', 'deferred') and old.status = 'pending' then
        perform check_may('decide', new.decided_by_operator);
    elsif new.status = 'pending' and old.status = 'deferred' then
        -- The agent wakes what is due in nobody's name; whoever else does is named, or is the one who deferred.
        if new.decided_by_operator is distinct from old.decided_by_operator
           or not pg_has_role(current_user, 'bridge_agent', 'member') then
            perform check_may('decide', new.decided_by_operator);
        end if;
    end if;
    return new;
end
$$;

create trigger guard_decider before update on agent_recommendations
    for each row execute function guard_decider_of_recommendation();

create function guard_decider_of_approval() returns trigger
language plpgsql as $$
begin
    perform check_is_person(new.operator, created_by_agent) from agent_recommendations
        where recommendation_id = new.recommendation_id;
    perform check_may('decide', new.operator);
    return new;
end
$$;

create trigger guard_decider before insert on approvals
    for each row execute function guard_decider_of_approval();

create function guard_decider_of_command() returns trigger
language plpgsql as $$
begin
    -- The bridge itself settles without a name, by its own read-back.
    if old.status = 'unknown' and new.status <> 'unknown' and person(new.settled_by) <> '' then
        perform check_is_person(new.settled_by, new.created_by_agent);
        perform check_may('decide', new.settled_by);
        if new.status = 'executed' then
            perform check_read_back(new);
        end if;
    end if;
    return new;
end
$$;

create trigger guard_decider before update on agent_commands
    for each row execute function guard_decider_of_command();

create function guard_decider_of_control() returns trigger
language plpgsql as $$
begin
    perform check_may(case when new.armed and not old.armed then 'arm' else 'disarm' end, new.changed_by);
    return new;
end
$$;

create trigger guard_decider before update on bridge_control
    for each row execute function guard_decider_of_control();

-- As 0008 does: names inside a trigger mean our own tables, never somebody's temporary ones.
do $$
declare
    guarded regprocedure;
begin
    for guarded in
        select oid from pg_proc
        where pronamespace = current_schema()::regnamespace and (prosecdef or prorettype = 'trigger'::regtype)
    loop
        execute format('alter function %s set search_path = %I, pg_temp', guarded, current_schema());
    end loop;
end
$$;
