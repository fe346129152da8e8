-- The arrows of both state machines, and who may follow each. Python has the same table in
-- bridge/domain/lifecycle.py; a test holds the two equal.
create table lifecycle_arrows (
    subject text not null check (subject in ('recommendation', 'command')),
    from_status text not null,
    to_status text not null,
    roles text[] not null,
    primary key (subject, from_status, to_status)
);

insert into lifecycle_arrows (subject, from_status, to_status, roles) values
    ('recommendation', 'pending', 'approved', '{bridge_operator}'),
    ('recommendation', 'pending', 'deferred', '{bridge_operator}'),
    ('recommendation', 'pending', 'rejected', '{bridge_operator}'),
    ('recommendation', 'pending', 'expired', '{bridge_agent}'),
    ('recommendation', 'pending', 'superseded', '{bridge_agent}'),
    ('recommendation', 'deferred', 'pending', '{bridge_agent,bridge_operator}'),
    ('recommendation', 'deferred', 'superseded', '{bridge_agent}'),
    ('recommendation', 'approved', 'executing', '{bridge_agent}'),
    ('recommendation', 'approved', 'expired', '{bridge_agent}'),
    ('recommendation', 'executing', 'executed', '{bridge_agent}'),
    ('recommendation', 'executing', 'failed', '{bridge_agent}'),
    ('command', 'pending', 'executing', '{bridge_agent,bridge_operator}'),
    ('command', 'pending', 'cancelled', '{bridge_agent,bridge_operator}'),
    ('command', 'executing', 'pending', '{bridge_agent,bridge_operator}'),
    ('command', 'executing', 'executed', '{bridge_agent,bridge_operator}'),
    ('command', 'executing', 'failed', '{bridge_agent,bridge_operator}'),
    ('command', 'executing', 'unknown', '{bridge_agent,bridge_operator}'),
    ('command', 'unknown', 'executed', '{bridge_agent,bridge_operator}'),
    ('command', 'unknown', 'failed', '{bridge_agent,bridge_operator}');

-- Every refusal of the schema has SQLSTATE BR001 (BR is no class of PostgreSQL's), the stable code in
-- DETAIL, and a sentence for a person in the message.
create function refuse(code text, reason text) returns void
language plpgsql as $$
begin
    raise exception '%: %', code, reason using errcode = 'BR001', detail = code;
end
$$;

create function follow_arrow(what text, object_id text, old_status text, new_status text) returns void
language plpgsql stable as $$
declare
    allowed text[];
begin
    select roles into allowed from lifecycle_arrows
        where subject = what and from_status = old_status and to_status = new_status;
    if not found then
        perform refuse('illegal_transition', format(
            '%s %s is %s and cannot become %s', what, object_id, old_status, new_status));
    end if;
    if not exists (select from unnest(allowed) as role where pg_has_role(current_user, role, 'member')) then
        raise exception 'not_permitted: % may not turn % % from % into %; that takes %',
            current_user, what, object_id, old_status, new_status, array_to_string(allowed, ' or ')
            using errcode = '42501', detail = 'not_permitted';
    end if;
end
$$;

-- Boolean as 0 or 1, numbers as they are; anything else is no set-point.
create function setpoint_number(value jsonb) returns double precision
language sql immutable as $$
    select case jsonb_typeof(value)
        when 'number' then (value #>> '{}')::double precision
        when 'boolean' then case when value = 'true'::jsonb then 1 else 0 end
    end
$$;

-- A person's name without the blanks around it, whatever kind of blank; empty when there is no name.
create function person(name text) returns text
language sql immutable as $$
    select btrim(normalize(coalesce(name, ''), NFKC), E' \t\n\r\f\v')
$$;

create function digest_of_writes(writes jsonb) returns text
language sql immutable as $$
    select encode(sha256(convert_to(writes::text, 'UTF8')), 'hex')
$$;

-- The limits as the database knows them: form, allow-list, range and step of a list of writes.
create function check_writes(writes jsonb, for_equipment text) returns void
language plpgsql stable as $$
declare
    entry jsonb;
    target double precision;
    present double precision;
    allowed tag_limits;
begin
    if jsonb_typeof(writes) <> 'array' then
        perform refuse('wrong_form', format('proposed_writes wants a list, found %s', jsonb_typeof(writes)));
    end if;
    if jsonb_array_length(writes) > 50 then
        perform refuse('wrong_form', format('proposed_writes holds %s writes, allowed are 50', jsonb_array_length(writes)));
    end if;
    for entry in select value from jsonb_array_elements(writes) loop
        if jsonb_typeof(entry) <> 'object' or not (entry ?& array['tag_path', 'from', 'to', 'unit'])
           or (select count(*) from jsonb_object_keys(entry)) <> 4
           or jsonb_typeof(entry -> 'tag_path') <> 'string' or jsonb_typeof(entry -> 'unit') <> 'string' then
            perform refuse('wrong_form', format(
                'a write wants exactly tag_path, from, to and unit, found %s', left(entry::text, 200)));
        end if;
        target := setpoint_number(entry -> 'to');
        present := setpoint_number(entry -> 'from');
        if target is null or present is null or jsonb_typeof(entry -> 'to') <> jsonb_typeof(entry -> 'from') then
            perform refuse('wrong_type', format(
                '%s: from and to want two numbers or two booleans, found %s and %s',
                entry ->> 'tag_path', entry -> 'from', entry -> 'to'));
        end if;
        select * into allowed from tag_limits where tag_path = entry ->> 'tag_path';
        if not found then
            perform refuse('not_listed', format(
                '%s is not listed as writable; list it with a range in bridge.toml if it should be',
                entry ->> 'tag_path'));
        end if;
        if allowed.equipment_id <> for_equipment then
            perform refuse('not_listed', format(
                '%s belongs to %s, not to %s', allowed.tag_path, allowed.equipment_id, for_equipment));
        end if;
        if (allowed.data_type = 'Boolean') <> (jsonb_typeof(entry -> 'to') = 'boolean') then
            perform refuse('wrong_type', format(
                '%s is a %s, found %s', allowed.tag_path, allowed.data_type, entry -> 'to'));
        end if;
        if allowed.data_type not in ('Boolean', 'Float', 'Double') and target <> floor(target) then
            perform refuse('wrong_type', format(
                '%s is an %s, found %s', allowed.tag_path, allowed.data_type, entry -> 'to'));
        end if;
        if allowed.unit <> entry ->> 'unit' then
            perform refuse('wrong_unit', format(
                '%s is in %s, the write says %s', allowed.tag_path, allowed.unit, entry ->> 'unit'));
        end if;
        if not target between allowed.low and allowed.high then
            perform refuse('out_of_range', format(
                '%s: %s %s is outside %s to %s', allowed.tag_path, target, allowed.unit, allowed.low, allowed.high));
        end if;
        if allowed.max_step is not null and abs(target - present) > allowed.max_step * (1 + 1e-9) then
            perform refuse('step_too_large', format(
                '%s: a step of %s %s exceeds %s', allowed.tag_path, abs(target - present), allowed.unit, allowed.max_step));
        end if;
    end loop;
    if (select count(distinct value ->> 'tag_path') <> count(*) from jsonb_array_elements(writes)) then
        perform refuse('wrong_form', 'proposed_writes names one tag twice; the order of such writes would decide the outcome');
    end if;
end
$$;

-- Why a list of writes is refused at this moment, or null when every limit holds.
create function writes_refusal(writes jsonb, for_equipment text) returns text
language plpgsql stable as $$
begin
    perform check_writes(writes, for_equipment);
    return null;
exception
    when sqlstate 'BR001' then return sqlerrm;
end
$$;

-- The life of a recommendation. Whatever client speaks, an old-style update included, passes through here.
create function guard_recommendation() returns trigger
language plpgsql as $$
declare
    moment constant timestamptz := clock_timestamp();
    proposal_changed boolean;
    given integer;
begin
    new.updated_timestamp := moment;
    new.severity := lower(new.severity);

    if tg_op = 'INSERT' then
        if new.status <> 'pending' then
            perform refuse('illegal_transition', format(
                'a recommendation starts pending, found %s', new.status));
        end if;
        if new.approved_by_operator is not null or new.approved_timestamp is not null then
            perform refuse('illegal_transition', 'a recommendation cannot be born approved');
        end if;
        perform check_writes(new.proposed_writes, new.equipment_id);
        new.write_digest := digest_of_writes(new.proposed_writes);
        return new;
    end if;

    proposal_changed := (new.equipment_id, new.issue_type, new.severity, new.proposed_writes, new.recommended_action,
                         new.root_cause_analysis, new.confidence_score, new.evidence, new.source,
                         new.expected_outcome, new.approvals_required, new.temperature_reading,
                         new.pressure_reading, new.flow_rate_reading)
        is distinct from (old.equipment_id, old.issue_type, old.severity, old.proposed_writes, old.recommended_action,
                          old.root_cause_analysis, old.confidence_score, old.evidence, old.source,
                          old.expected_outcome, old.approvals_required, old.temperature_reading,
                          old.pressure_reading, old.flow_rate_reading);

    if (new.recommendation_id, new.created_timestamp, new.created_by_agent, new.equipment_id, new.issue_type)
       is distinct from (old.recommendation_id, old.created_timestamp, old.created_by_agent, old.equipment_id, old.issue_type) then
        perform refuse('immutable', format('identity of recommendation %s cannot change', old.recommendation_id));
    end if;
    if proposal_changed and (old.status <> 'pending' or new.status <> 'pending') then
        perform refuse('immutable', format(
            'recommendation %s is %s; its proposal cannot change any more', old.recommendation_id, old.status));
    end if;
    if new.proposed_writes is distinct from old.proposed_writes then
        perform check_writes(new.proposed_writes, new.equipment_id);
    end if;
    new.write_digest := digest_of_writes(new.proposed_writes);

    if new.status = old.status then
        if (new.approved_by_operator, new.approved_timestamp, new.rejected_timestamp, new.rejection_reason,
            new.decided_by_operator, new.defer_until, new.executed_timestamp)
           is distinct from (old.approved_by_operator, old.approved_timestamp, old.rejected_timestamp,
                             old.rejection_reason, old.decided_by_operator, old.defer_until, old.executed_timestamp) then
            perform refuse('already_decided', format(
                'recommendation %s is already %s%s', old.recommendation_id, old.status,
                coalesce(' by ' || coalesce(old.approved_by_operator, old.decided_by_operator), '')));
        end if;
        if new.execution_result is distinct from old.execution_result
           and old.status in ('executed', 'failed', 'expired', 'superseded', 'rejected') then
            perform refuse('immutable', format(
                'recommendation %s is %s; its outcome is recorded', old.recommendation_id, old.status));
        end if;
        return new;
    end if;

    if new.status in ('approved', 'rejected', 'deferred') and old.status <> 'pending' then
        perform refuse('already_decided', format(
            'recommendation %s is already %s%s', old.recommendation_id, old.status,
            coalesce(' by ' || coalesce(old.approved_by_operator, old.decided_by_operator), '')));
    end if;
    perform follow_arrow('recommendation', old.recommendation_id, old.status, new.status);

    case new.status
        when 'approved' then
            new.approved_by_operator := person(new.approved_by_operator);
            if new.approved_by_operator = '' then
                perform refuse('name_required', 'an approval names the person in approved_by_operator');
            end if;
            if old.expires_at <= moment then
                perform refuse('expired', format(
                    'recommendation %s expired at %s; nobody may approve it any more', old.recommendation_id, old.expires_at));
            end if;
            perform check_writes(new.proposed_writes, new.equipment_id);
            if exists (select from approvals where recommendation_id = old.recommendation_id
                       and digest = new.write_digest and lower(operator) = lower(new.approved_by_operator)) then
                perform refuse('already_decided', format(
                    '%s already approved recommendation %s; another person has to',
                    new.approved_by_operator, old.recommendation_id));
            end if;
            insert into approvals (recommendation_id, operator, digest, comment)
                values (old.recommendation_id, new.approved_by_operator, new.write_digest, new.operator_notes);
            select count(*) into given from approvals
                where recommendation_id = old.recommendation_id and digest = new.write_digest;
            if given < old.approvals_required then
                -- One of several: counted, and still waiting for another person.
                new.status := 'pending';
                new.approved_by_operator := null;
                new.approved_timestamp := null;
            else
                new.approved_timestamp := moment;
            end if;
        when 'rejected' then
            new.rejection_reason := nullif(btrim(coalesce(new.rejection_reason, new.operator_notes, '')), '');
            if new.rejection_reason is null then
                perform refuse('reason_required', 'a rejection says why, in rejection_reason or operator_notes');
            end if;
            new.decided_by_operator := coalesce(nullif(person(new.decided_by_operator), ''),
                                                nullif(person(new.approved_by_operator), ''), session_user);
            new.approved_by_operator := null;
            new.rejected_timestamp := moment;
        when 'deferred' then
            if new.defer_until is null or new.defer_until <= moment then
                perform refuse('time_required', format(
                    'a deferral says until when, in the future; found %s', coalesce(new.defer_until::text, 'nothing')));
            end if;
            if new.defer_until > moment + interval '24 hours' then
                perform refuse('time_required', 'a deferral lasts 24 hours at the most');
            end if;
            new.decided_by_operator := coalesce(nullif(person(new.decided_by_operator), ''), session_user);
            new.expires_at := greatest(old.expires_at, new.defer_until + interval '30 minutes');
        when 'pending' then
            new.defer_until := null;
        when 'executing' then
            if not exists (select from approvals where recommendation_id = old.recommendation_id
                           and digest = new.write_digest) then
                perform refuse('not_approved', format(
                    'recommendation %s has no approval of its present writes', old.recommendation_id));
            end if;
        when 'executed' then
            if (select count(*) from agent_commands where recommendation_id = old.recommendation_id
                and status = 'executed') <> jsonb_array_length(new.proposed_writes) then
                perform refuse('illegal_transition', format(
                    'recommendation %s has a write without an executed command', old.recommendation_id));
            end if;
            new.executed_timestamp := moment;
        when 'failed' then
            if exists (select from agent_commands where recommendation_id = old.recommendation_id
                       and status in ('pending', 'executing')) then
                perform refuse('illegal_transition', format(
                    'recommendation %s still has a command on its way', old.recommendation_id));
            end if;
        else null;
    end case;
    if new.status in ('executed', 'failed', 'expired', 'superseded')
       and coalesce(btrim(new.execution_result), '') = '' then
        perform refuse('reason_required', format('%s says why, in execution_result', new.status));
    end if;
    return new;
end
$$;

create trigger guard before insert or update on agent_recommendations
    for each row execute function guard_recommendation();

-- The life of a command: what is approved is what is written, and it leaves at most once.
create function guard_command() returns trigger
language plpgsql as $$
declare
    moment constant timestamptz := clock_timestamp();
    parent agent_recommendations;
    entry jsonb;
    allowed tag_limits;
begin
    if tg_op = 'INSERT' then
        select * into parent from agent_recommendations where recommendation_id = new.recommendation_id;
        if not found then
            perform refuse('not_approved', format('no recommendation %s; a command without one is never executed', new.recommendation_id));
        end if;
        if parent.status not in ('approved', 'executing') or not exists (
            select from approvals where recommendation_id = parent.recommendation_id and digest = parent.write_digest
        ) then
            perform refuse('not_approved', format(
                'recommendation %s is %s; only approved writes become commands', parent.recommendation_id, parent.status));
        end if;
        if new.status <> 'pending' or new.sent_timestamp is not null or new.claimed_by is not null then
            perform refuse('illegal_transition', 'a command starts pending and unclaimed');
        end if;
        select value, ordinality into entry, new.sequence
            from jsonb_array_elements(parent.proposed_writes) with ordinality
            where value ->> 'tag_path' = new.tag_path;
        if entry is null or setpoint_number(entry -> 'to') is distinct from new.new_value then
            perform refuse('not_approved', format(
                '%s := %s is not among the approved writes of %s', new.tag_path, new.new_value, parent.recommendation_id));
        end if;
        -- Once more, because limits may have been narrowed or withdrawn since the approval.
        perform check_writes(jsonb_build_array(entry), parent.equipment_id);
        select * into allowed from tag_limits where tag_path = new.tag_path;
        new.equipment_id := parent.equipment_id;
        new.expected_value := setpoint_number(entry -> 'from');
        new.unit := entry ->> 'unit';
        new.route := allowed.route;
        new.severity := coalesce(new.severity, parent.severity);
        new.action_description := coalesce(new.action_description, parent.recommended_action);
        return new;
    end if;

    if (new.command_id, new.recommendation_id, new.equipment_id, new.tag_path, new.new_value, new.sequence,
        new.expected_value, new.unit, new.route, new.created_timestamp, new.created_by_agent)
       is distinct from (old.command_id, old.recommendation_id, old.equipment_id, old.tag_path, old.new_value,
                         old.sequence, old.expected_value, old.unit, old.route, old.created_timestamp, old.created_by_agent) then
        perform refuse('immutable', format('what command %s writes cannot change', old.command_id));
    end if;
    -- The agent's role executes what the bridge sends; the gateway's role only what is routed to it,
    -- and either may settle what is unknown.
    if old.status in ('pending', 'executing') and old.route = 'gateway'
       and new.status in ('executing', 'executed') and not pg_has_role(current_user, 'bridge_operator', 'member') then
        perform refuse('wrong_route', format('command %s is routed to the gateway; the bridge only watches', old.command_id));
    end if;
    if old.status in ('pending', 'executing') and old.route <> 'gateway' and new.status <> 'cancelled'
       and not pg_has_role(current_user, 'bridge_agent', 'member') then
        raise exception 'not_permitted: command % is routed over %; only the bridge executes it', old.command_id, old.route
            using errcode = '42501', detail = 'not_permitted';
    end if;

    if new.sent_timestamp is distinct from old.sent_timestamp then
        if old.sent_timestamp is not null then
            perform refuse('already_sent', format('command %s left at %s; it is never sent again', old.command_id, old.sent_timestamp));
        end if;
        if old.status <> 'executing' or new.status <> 'executing' then
            perform refuse('illegal_transition', format('command %s is %s; only a claimed command is sent', old.command_id, old.status));
        end if;
        if (select armed from bridge_control) is not true then
            perform refuse('disarmed', 'the bridge is disarmed; nothing is written');
        end if;
        if old.lease_expires_at <= moment then
            perform refuse('lease_lost', format(
                'the claim of command %s by %s ended at %s; nothing is sent under it', old.command_id, old.claimed_by, old.lease_expires_at));
        end if;
        new.sent_timestamp := moment;
    end if;

    if new.status = old.status then
        if new.claimed_by is distinct from old.claimed_by then
            perform refuse('lease_lost', format('command %s is claimed by %s', old.command_id, old.claimed_by));
        end if;
        if old.status in ('executed', 'failed', 'cancelled') and new is distinct from old then
            perform refuse('immutable', format('command %s is %s; its outcome is recorded', old.command_id, old.status));
        end if;
        return new;
    end if;
    perform follow_arrow('command', old.command_id, old.status, new.status);
    if old.status = 'unknown' and not pg_has_role(current_user, 'bridge_agent', 'member')
       and coalesce(btrim(new.settled_by), '') = '' then
        perform refuse('name_required', 'whoever settles an unknown outcome is named in settled_by');
    end if;

    case new.status
        when 'executing' then
            if new.claimed_by is null or new.lease_expires_at is null or new.lease_expires_at <= moment then
                perform refuse('illegal_transition', 'a claim names its holder and a lease in the future');
            end if;
            new.claimed_timestamp := moment;
        when 'pending' then
            if old.sent_timestamp is not null then
                perform refuse('already_sent', format(
                    'command %s left at %s and cannot be released; read back what became of it', old.command_id, old.sent_timestamp));
            end if;
            new.claimed_by := null;
            new.claimed_timestamp := null;
            new.lease_expires_at := null;
        when 'executed' then
            if new.sent_timestamp is null or new.read_back_value is null then
                perform refuse('illegal_transition', format(
                    'command %s counts as executed only when it was sent and read back', old.command_id));
            end if;
            new.executed_timestamp := moment;
            new.verified_timestamp := moment;
        when 'unknown' then
            if new.sent_timestamp is null then
                perform refuse('illegal_transition', format('command %s was never sent, so its outcome is known', old.command_id));
            end if;
        else null;
    end case;
    if new.status in ('failed', 'unknown', 'cancelled') and coalesce(btrim(new.execution_result), '') = '' then
        perform refuse('reason_required', format('%s says why, in execution_result', new.status));
    end if;
    return new;
end
$$;

create trigger guard before insert or update on agent_commands
    for each row execute function guard_command();

create function guard_approval() returns trigger
language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        perform refuse('append_only', 'an approval is never changed or removed');
    end if;
    if not exists (select from agent_recommendations where recommendation_id = new.recommendation_id
                   and status = 'pending' and write_digest = new.digest and expires_at > clock_timestamp()) then
        perform refuse('digest_mismatch', format(
            'recommendation %s is not open with this digest any more; look at it again', new.recommendation_id));
    end if;
    new.operator := person(new.operator);
    new.approved_timestamp := clock_timestamp();
    return new;
end
$$;

create trigger guard before insert or update or delete on approvals
    for each row execute function guard_approval();

create function keep_control_row() returns trigger
language plpgsql as $$
begin
    new.changed_timestamp := clock_timestamp();
    if new.armed is distinct from old.armed and new.reason is not distinct from old.reason then
        perform refuse('reason_required', 'arming and disarming each say why');
    end if;
    return new;
end
$$;

create trigger guard before update on bridge_control
    for each row execute function keep_control_row();
