-- The audit trail: append-only, hash-chained, written by triggers in the same transaction as the change.
-- Nobody inserts here directly, and nobody, the owner included, updates or deletes while the triggers stand.
create table agent_audit (
    seq bigint primary key,
    at timestamptz not null,
    actor text not null,       -- the person or agent the change is recorded for
    db_role text not null,     -- the database role that made it
    action text not null,
    object_type text not null,
    object_id text not null,
    recommendation_id text,
    old_status text,
    new_status text,
    detail jsonb not null,
    prev_hash text not null,
    hash text not null
);
create index agent_audit_by_recommendation on agent_audit (recommendation_id, seq);
create index agent_audit_by_object on agent_audit (object_type, object_id, seq);

create table agent_audit_head (
    only_row boolean primary key default true check (only_row),
    seq bigint not null,
    hash text not null
);
insert into agent_audit_head (seq, hash) values (0, repeat('0', 64));

-- The bytes that are hashed, as text: every field, separated by U+001F. `bridge/domain/audit.py` builds
-- the same text by itself when it verifies.
create function audit_text(a agent_audit) returns text
language sql immutable as $$
    select a.seq::text || E'\x1f' || to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || E'\x1f' || a.actor || E'\x1f' || a.db_role || E'\x1f' || a.action
        || E'\x1f' || a.object_type || E'\x1f' || a.object_id || E'\x1f' || coalesce(a.recommendation_id, '')
        || E'\x1f' || coalesce(a.old_status, '') || E'\x1f' || coalesce(a.new_status, '')
        || E'\x1f' || a.detail::text || E'\x1f' || a.prev_hash
$$;

create function audit_append(
    p_actor text, p_role text, p_action text, p_type text, p_id text, p_recommendation text,
    p_old text, p_new text, p_detail jsonb
) returns void
language plpgsql security definer set search_path from current as $$
declare
    head_seq bigint;
    head_hash text;
    moment timestamptz;
    actor constant text := coalesce(nullif(btrim(p_actor), ''), p_role);
    detail constant jsonb := coalesce(p_detail, '{}');
    new_hash text;
begin
    -- The head row is the lock of the chain: two transactions that read the same head would fork it.
    select seq + 1, hash into head_seq, head_hash from agent_audit_head for update;
    moment := clock_timestamp(); -- after the wait for the head, so that time never runs backwards along the chain
    new_hash := encode(sha256(convert_to(audit_text(row(
        head_seq, moment, actor, p_role, p_action, p_type, p_id, p_recommendation, p_old, p_new, detail, head_hash, ''
    )::agent_audit), 'UTF8')), 'hex');
    insert into agent_audit (seq, at, actor, db_role, action, object_type, object_id, recommendation_id,
                             old_status, new_status, detail, prev_hash, hash)
        values (head_seq, moment, actor, p_role, p_action, p_type, p_id, p_recommendation,
                p_old, p_new, detail, head_hash, new_hash);
    update agent_audit_head set seq = head_seq, hash = new_hash;
end
$$;
revoke all on function audit_append from public;

-- Who acts, seen from inside a security-definer function: the role taken on, else the login.
create function acting_role() returns text
language sql stable as $$
    select coalesce(nullif(current_setting('role', true), 'none'), session_user)
$$;

create function audit_change() returns trigger
language plpgsql security definer set search_path from current as $$
declare
    role constant text := acting_role();
begin
    case tg_table_name
    when 'agent_recommendations' then
        if tg_op = 'INSERT' then
            perform audit_append(new.created_by_agent, role, 'recommendation.created', 'recommendation',
                new.recommendation_id, new.recommendation_id, null, new.status, jsonb_build_object(
                    'equipment_id', new.equipment_id, 'issue_type', new.issue_type, 'severity', new.severity,
                    'proposed_writes', new.proposed_writes, 'write_digest', new.write_digest, 'source', new.source,
                    'root_cause_analysis', new.root_cause_analysis, 'recommended_action', new.recommended_action,
                    'temperature', new.temperature_reading, 'evidence', new.evidence, 'expires_at', new.expires_at));
        elsif new.status <> old.status then
            perform audit_append(
                case when new.status = 'approved' then new.approved_by_operator
                     when new.status in ('rejected', 'deferred') then new.decided_by_operator
                     else role end,
                role, 'recommendation.' || new.status, 'recommendation', new.recommendation_id, new.recommendation_id,
                old.status, new.status, jsonb_strip_nulls(jsonb_build_object(
                    'write_digest', new.write_digest, 'proposed_writes', new.proposed_writes,
                    'operator_notes', new.operator_notes, 'rejection_reason', new.rejection_reason,
                    'defer_until', new.defer_until, 'execution_result', new.execution_result)));
        elsif (new.write_digest, new.severity) is distinct from (old.write_digest, old.severity) then
            perform audit_append(role, role, 'recommendation.revised', 'recommendation', new.recommendation_id,
                new.recommendation_id, old.status, new.status, jsonb_build_object(
                    'severity', new.severity, 'was_severity', old.severity, 'write_digest', new.write_digest,
                    'was_write_digest', old.write_digest, 'proposed_writes', new.proposed_writes,
                    'recommended_action', new.recommended_action));
        end if;
    when 'approvals' then
        perform audit_append(new.operator, role, 'approval.given', 'recommendation', new.recommendation_id,
            new.recommendation_id, null, null, jsonb_strip_nulls(jsonb_build_object(
                'digest', new.digest, 'comment', new.comment)));
    when 'agent_commands' then
        if tg_op = 'INSERT' then
            perform audit_append(new.created_by_agent, role, 'command.created', 'command', new.command_id,
                new.recommendation_id, null, new.status, jsonb_build_object(
                    'tag_path', new.tag_path, 'from', new.expected_value, 'to', new.new_value, 'unit', new.unit,
                    'route', new.route, 'sequence', new.sequence));
        elsif new.status <> old.status then
            perform audit_append(
                case when old.status = 'unknown' then coalesce(new.settled_by, role)
                     else coalesce(new.claimed_by, old.claimed_by, role) end,
                role,
                case new.status when 'executing' then 'command.claimed' when 'pending' then 'command.released'
                     else 'command.' || new.status end,
                'command', new.command_id, new.recommendation_id, old.status, new.status,
                jsonb_strip_nulls(jsonb_build_object(
                    'execution_result', new.execution_result, 'result_code', new.result_code,
                    'read_back_value', new.read_back_value, 'lease_expires_at', new.lease_expires_at)));
        elsif new.sent_timestamp is distinct from old.sent_timestamp then
            perform audit_append(new.claimed_by, role, 'command.sent', 'command', new.command_id,
                new.recommendation_id, old.status, new.status, jsonb_build_object(
                    'tag_path', new.tag_path, 'to', new.new_value, 'unit', new.unit));
        end if;
    when 'bridge_control' then
        if new.armed is distinct from old.armed then
            perform audit_append(new.changed_by, role, case when new.armed then 'control.armed' else 'control.disarmed' end,
                'control', 'bridge', null, null, null, jsonb_build_object('reason', new.reason));
        end if;
    when 'work_orders' then
        if tg_op = 'INSERT' then
            perform audit_append(role, role, 'work_order.opened', 'work_order', new.work_order_id,
                new.recommendation_id, null, new.status, jsonb_build_object('description', new.description));
        elsif new.status <> old.status then
            perform audit_append(coalesce(new.assigned_to, role), role, 'work_order.' || new.status, 'work_order',
                new.work_order_id, new.recommendation_id, old.status, new.status, '{}');
        end if;
    when 'tag_limits' then
        if tg_op = 'DELETE' then
            perform audit_append(role, role, 'limits.withdrawn', 'tag', old.tag_path, null, null, null, to_jsonb(old));
        elsif tg_op = 'INSERT' then
            perform audit_append(role, role, 'limits.published', 'tag', new.tag_path, null, null, null, to_jsonb(new));
        elsif (to_jsonb(new) - 'published_timestamp' - 'published_by')
              <> (to_jsonb(old) - 'published_timestamp' - 'published_by') then
            perform audit_append(role, role, 'limits.published', 'tag', new.tag_path, null, null, null,
                to_jsonb(new) || jsonb_build_object('was', to_jsonb(old)));
        end if;
    end case;
    return null;
end
$$;
revoke all on function audit_change from public;

-- Deferred to the commit: the chain is locked only for its last moments, and always after the rows that
-- changed, so that two transactions cannot wait for each other.
create constraint trigger audit after insert or update on agent_recommendations
    deferrable initially deferred for each row execute function audit_change();
create constraint trigger audit after insert on approvals
    deferrable initially deferred for each row execute function audit_change();
create constraint trigger audit after insert or update on agent_commands
    deferrable initially deferred for each row execute function audit_change();
create constraint trigger audit after update on bridge_control
    deferrable initially deferred for each row execute function audit_change();
create constraint trigger audit after insert or update on work_orders
    deferrable initially deferred for each row execute function audit_change();
create constraint trigger audit after insert or update or delete on tag_limits
    deferrable initially deferred for each row execute function audit_change();

create function refuse_change() returns trigger
language plpgsql as $$
begin
    perform refuse('append_only', format('%s is never changed, removed or emptied', tg_table_name));
    return null;
end
$$;

create trigger append_only before update or delete on agent_audit
    for each row execute function refuse_change();
create trigger append_only_whole before truncate on agent_audit
    for each statement execute function refuse_change();
create trigger append_only_whole before truncate on approvals
    for each statement execute function refuse_change();
create trigger append_only_whole before truncate on agent_recommendations
    for each statement execute function refuse_change();
create trigger append_only_whole before truncate on agent_commands
    for each statement execute function refuse_change();
-- Emptied as a whole, the allow-list would change without an entry for each tag.
create trigger append_only_whole before truncate on tag_limits
    for each statement execute function refuse_change();
create trigger never_removed before delete on bridge_control
    for each row execute function refuse_change();
create trigger append_only_whole before truncate on bridge_control
    for each statement execute function refuse_change();
create trigger never_removed before delete on agent_recommendations
    for each row execute function refuse_change();
create trigger never_removed before delete on agent_commands
    for each row execute function refuse_change();
