-- name: read_snapshot
-- what: In one row, all that is published as tags: agents, the switch, counts, recommendations and commands, each list as JSON.
-- param: offline_after_s double precision, silence after which an agent counts as offline
-- param: recent_s double precision, how long after its end a recommendation is still told
-- param: equipment_ids text[], equipment whose last command is wanted besides that with open recommendations
-- param: command_ids text[], commands that were live when last looked at, told until their verdict is known
-- param: max_rows integer, most recommendations and most commands that are told
-- role: bridge_agent
with waiting as (
    select *
    from agent_recommendations
    where status in ('pending', 'deferred', 'approved', 'executing')
    order by array_position(array['critical', 'high', 'medium', 'low'], severity), created_timestamp, recommendation_id
    limit cast(:max_rows as integer)
),
ended as (
    select *
    from agent_recommendations
    where status in ('executed', 'failed', 'rejected', 'expired', 'superseded')
      and updated_timestamp > clock_timestamp() - make_interval(secs => cast(:recent_s as double precision))
    order by updated_timestamp desc
    limit cast(:max_rows as integer)
),
told as (
    select false as over, * from waiting
    union all
    select true, * from ended
),
moving as (
    select * from agent_commands where status in ('pending', 'executing', 'unknown')
    union
    select * from agent_commands where command_id = any(cast(:command_ids as text[]))
    union
    select c.* from agent_commands c join told t on t.recommendation_id = c.recommendation_id
    where t.status in ('executing', 'executed', 'failed')
    limit cast(:max_rows as integer)
),
newest as (
    select latest.*
    from (
        select equipment_id from waiting
        union
        select unnest(cast(:equipment_ids as text[]))
    ) known
    cross join lateral (
        select c.*
        from agent_recommendations r
        join agent_commands c on c.recommendation_id = r.recommendation_id
        where r.equipment_id = known.equipment_id and r.created_timestamp > now() - interval '7 days'
        order by c.created_timestamp desc, c.sequence desc
        limit 1
    ) latest
)
select clock_timestamp() as taken,
       (select coalesce(cast(json_agg(json_build_object(
            'agent_id', agent_id, 'site', site, 'version', version, 'polls_completed', polls_completed,
            'cycle_ms', cycle_ms, 'last_heartbeat_utc', last_heartbeat, 'buffer_depth', detail -> 'buffer' -> 'depth',
            'status', case when status = 'online' and last_heartbeat
                > clock_timestamp() - make_interval(secs => cast(:offline_after_s as double precision))
                then 'online' else 'offline' end)) as text), '[]')
        from agent_health) as agents,
       (select cast(json_build_object('armed', armed, 'changed_by', changed_by, 'reason', reason,
            'changed_utc', changed_timestamp) as text)
        from bridge_control) as control,
       (select coalesce(cast(json_agg(counted) as text), '[]')
        from (
            select status, severity, count(*) as number
            from agent_recommendations
            where status in ('pending', 'deferred', 'approved', 'executing')
            group by status, severity
            union all
            select status, severity, count(*)
            from agent_recommendations
            where status in ('executed', 'failed', 'rejected', 'expired', 'superseded')
              and updated_timestamp > clock_timestamp() - interval '24 hours'
            group by status, severity
        ) counted) as counts,
       (select coalesce(cast(json_object_agg(status, number) as text), '{}')
        from (
            select status, count(*) as number
            from agent_commands
            where status in ('pending', 'executing', 'unknown')
            group by status
        ) live) as live,
       (select coalesce(cast(json_agg(json_build_object(
            'recommendation_id', recommendation_id, 'equipment_id', equipment_id, 'issue_type', issue_type,
            'severity', severity, 'status', status, 'text', coalesce(recommended_action, ''),
            'root_cause', coalesce(root_cause_analysis, ''), 'confidence', confidence_score,
            'writes', cast(proposed_writes as text), 'digest', write_digest, 'approvals_required', approvals_required,
            'approvals_given', (select count(*) from approvals a
                where a.recommendation_id = told.recommendation_id and a.digest = told.write_digest),
            'created_utc', created_timestamp, 'updated_utc', updated_timestamp, 'expires_utc', expires_at,
            'defer_until_utc', defer_until)
            order by over, array_position(array['critical', 'high', 'medium', 'low'], severity), created_timestamp,
                     recommendation_id) as text), '[]')
        from told) as recommendations,
       (select coalesce(cast(json_agg(json_build_object(
            'newest', newest, 'command_id', command_id, 'recommendation_id', recommendation_id,
            'equipment_id', equipment_id, 'tag_path', tag_path, 'value', new_value, 'unit', unit,
            'severity', coalesce(severity, ''), 'verdict', status, 'result', coalesce(execution_result, ''),
            'created_utc', created_timestamp,
            'at_utc', coalesce(executed_timestamp, sent_timestamp, claimed_timestamp, created_timestamp))) as text), '[]')
        from (
            select true as newest, * from newest
            union all
            select false, * from moving
        ) commands) as commands
