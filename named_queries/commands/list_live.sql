-- name: list_live
-- what: Commands that are not finished, those of unknown outcome first, then those on their way, then those that wait, with who approved them.
-- param: max_rows integer
-- role: bridge_operator, bridge_reader
select c.command_id, c.recommendation_id, c.equipment_id, r.issue_type, c.severity, c.action_description, c.tag_path,
       c.sequence, c.expected_value, c.new_value, c.unit, c.route, c.status, c.result_code, c.execution_result,
       c.read_back_value, c.claimed_by, r.approved_by_operator, r.approved_timestamp, c.created_timestamp,
       c.sent_timestamp,
       (select string_agg(a.operator, ', ' order by a.approved_timestamp) from approvals a
        where a.recommendation_id = r.recommendation_id and a.digest = r.write_digest) as approvers,
       cast(extract(epoch from clock_timestamp() - r.approved_timestamp) as double precision) as approved_ago_s,
       cast(extract(epoch from clock_timestamp() - c.created_timestamp) as double precision) as age_s,
       cast(extract(epoch from clock_timestamp() - c.sent_timestamp) as double precision) as sent_ago_s,
       cast(extract(epoch from c.lease_expires_at - clock_timestamp()) as double precision) as lease_left_s,
       listed.data_type
from agent_commands c
join agent_recommendations r on r.recommendation_id = c.recommendation_id
left join tag_limits listed on listed.tag_path = c.tag_path
where c.status in ('pending', 'executing', 'unknown')
order by array_position(array['unknown', 'executing', 'pending'], c.status), c.created_timestamp,
         c.recommendation_id, c.sequence
limit least(cast(:max_rows as integer), 500)
