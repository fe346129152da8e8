-- Who is at the HMI, whether that person may decide, and which recommendation is being looked at.
alter table operator_sessions
    add column may_decide boolean,               -- by the roles of the login; null: not said
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
create function check_may_decide(name text) returns void
language plpgsql stable as $$
begin
    -- False only when there are sessions and each of them says no; null without any session.
    if (select bool_or(may_decide is not false) from operator_sessions
        where status = 'active' and lower(person(operator_id)) = lower(person(name))) is false then
        perform refuse('not_permitted', format(
            '%s is logged in at the HMI without the right to decide; log in as somebody who may', person(name)));
    end if;
end
$$;

-- These run after `guard` of the same table (triggers go by name), which has settled the names by then.
create function guard_decider_of_recommendation() returns trigger
language plpgsql as $$
begin
    -- An approval is met at `approvals`: there it has its name also when it is only one of several.
    if new.status in ('rejected', 'deferred') and old.status = 'pending' then
        perform check_may_decide(new.decided_by_operator);
    elsif new.status = 'pending' and old.status = 'deferred' then
        -- The agent wakes what is due in nobody's name; whoever else does is named, or is the one who deferred.
        if new.decided_by_operator is distinct from old.decided_by_operator
           or not pg_has_role(current_user, 'bridge_agent', 'member') then
            perform check_may_decide(new.decided_by_operator);
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
    perform check_may_decide(new.operator);
    return new;
end
$$;

create trigger guard_decider before insert on approvals
    for each row execute function guard_decider_of_approval();

create function guard_decider_of_command() returns trigger
language plpgsql as $$
begin
    if old.status = 'unknown' and new.status <> 'unknown' then
        perform check_may_decide(new.settled_by);
    end if;
    return new;
end
$$;

create trigger guard_decider before update on agent_commands
    for each row execute function guard_decider_of_command();

create function guard_decider_of_control() returns trigger
language plpgsql as $$
begin
    perform check_may_decide(new.changed_by);
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
