select r.recommendation_id, r.equipment_id, r.issue_type, r.severity, r.status, r.confidence_score, r.recommended_action,
       r.root_cause_analysis, r.expected_outcome, cast(r.proposed_writes as text) as proposed_writes, r.write_digest,
       r.temperature_reading, r.pressure_reading, r.flow_rate_reading, r.source, r.created_by_agent, r.created_timestamp,
       r.approved_by_operator, r.approved_timestamp, r.decided_by_operator, r.operator_notes, r.defer_until,
       r.approvals_required, approvals.given as approvals_given, coalesce(approvals.approvers, '') as approvers,
       coalesce(lookers.names, '') as lookers, coalesce(limits.by_tag, cast(jsonb_build_object() as text)) as limits,
       r.rejection_reason, r.execution_result,
       cast(extract(epoch from clock_timestamp() - r.created_timestamp) as double precision) as age_s,
       cast(extract(epoch from clock_timestamp() - r.approved_timestamp) as double precision) as approved_ago_s,
       cast(extract(epoch from r.defer_until - clock_timestamp()) as double precision) as deferred_left_s,
       cast(extract(epoch from r.expires_at - clock_timestamp()) as double precision) as expires_in_s,
       case when r.status in ('executed', 'failed', 'rejected', 'expired', 'superseded')
            then cast(extract(epoch from clock_timestamp() - r.updated_timestamp) as double precision) end as finished_ago_s
from agent_recommendations r
left join lateral (
    select cast(count(*) as integer) as given, string_agg(a.operator, ', ' order by a.approved_timestamp) as approvers
    from approvals a
    where a.recommendation_id = r.recommendation_id and a.digest = r.write_digest
) approvals on true
left join (
    select looking_at, string_agg(distinct operator_id, ', ') as names
    from operator_sessions
    where status = 'active' and looking_at is not null
      and looked_at_timestamp > clock_timestamp() - interval '15 seconds'
    group by looking_at
) lookers on lookers.looking_at = r.recommendation_id
left join (
    select equipment_id, cast(jsonb_object_agg(tag_path, jsonb_build_object(
               'low', low, 'high', high, 'max_step', max_step, 'min_interval_s', min_interval_s,
               'tolerance', tolerance)) as text) as by_tag
    from tag_limits
    group by equipment_id
) limits on limits.equipment_id = r.equipment_id
where r.equipment_id = :equipment_id
order by r.status in ('pending', 'deferred', 'approved', 'executing') desc,
         case when r.status in ('pending', 'deferred', 'approved', 'executing') then array_position(array['critical', 'high', 'medium', 'low'], r.severity) end,
         r.created_timestamp desc, r.recommendation_id
limit least(cast(:max_rows as integer), 500)
