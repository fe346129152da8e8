with open as (
    select recommendation_id, count(*) over () as total,
           row_number() over (order by status <> 'pending',
               array_position(array['critical', 'high', 'medium', 'low'], severity), created_timestamp, recommendation_id
           ) - 1 as place,
           count(*) filter (where status = 'pending') over () as pending,
           count(*) filter (where status = 'approved') over () as approved,
           count(*) filter (where status = 'executing') over () as executing,
           count(*) filter (where status = 'deferred') over () as deferred
    from agent_recommendations
    where status in ('pending', 'deferred', 'approved', 'executing')
),
size as (
    select greatest(least(cast(:max_rows as integer), 500), 1) as each_page
),
page as (
    select open.*, cursor.first_row
    from open
    cross join size
    cross join lateral (
        select least(greatest(cast(:first_row as integer), 0) / each_page, (open.total - 1) / each_page) * each_page
            as first_row
    ) cursor
    where open.place >= cursor.first_row and open.place < cursor.first_row + each_page
)
select r.recommendation_id, r.equipment_id, r.issue_type, r.severity, r.status, r.confidence_score, r.recommended_action,
       r.root_cause_analysis, r.expected_outcome, cast(r.proposed_writes as text) as proposed_writes, r.write_digest,
       r.temperature_reading, r.pressure_reading, r.flow_rate_reading, r.source, r.created_by_agent, r.created_timestamp,
       r.approved_by_operator, r.approved_timestamp, r.decided_by_operator, r.operator_notes, r.defer_until,
       r.approvals_required, approvals.given as approvals_given, coalesce(approvals.approvers, '') as approvers,
       coalesce(lookers.names, '') as lookers, coalesce(limits.by_tag, cast(jsonb_build_object() as text)) as limits,
       cast(extract(epoch from clock_timestamp() - r.created_timestamp) as double precision) as age_s,
       cast(extract(epoch from clock_timestamp() - r.approved_timestamp) as double precision) as approved_ago_s,
       cast(extract(epoch from r.defer_until - clock_timestamp()) as double precision) as deferred_left_s,
       cast(extract(epoch from r.expires_at - clock_timestamp()) as double precision) as expires_in_s,
       cast(page.first_row as integer) as first_row, cast(page.total as integer) as open_total,
       cast(page.pending as integer) as pending_total, cast(page.approved as integer) as approved_total,
       cast(page.executing as integer) as executing_total, cast(page.deferred as integer) as deferred_total
from page
join agent_recommendations r on r.recommendation_id = page.recommendation_id
left join lateral (
    select cast(count(*) as integer) as given, string_agg(a.operator, ', ' order by a.approved_timestamp) as approvers
    from approvals a
    where a.recommendation_id = r.recommendation_id and a.digest = r.write_digest
) approvals on true
left join lateral (
    select string_agg(distinct s.operator_id, ', ') as names
    from operator_sessions s
    where s.looking_at = r.recommendation_id and s.status = 'active'
      and s.looked_at_timestamp > clock_timestamp() - interval '15 seconds'
) lookers on true
left join lateral (
    select cast(jsonb_object_agg(l.tag_path, jsonb_build_object(
               'low', l.low, 'high', l.high, 'max_step', l.max_step, 'min_interval_s', l.min_interval_s,
               'tolerance', l.tolerance)) as text) as by_tag
    from tag_limits l
    where l.equipment_id = r.equipment_id
) limits on true
order by page.place
