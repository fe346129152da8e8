select c.command_id, c.recommendation_id, c.equipment_id, r.issue_type, c.severity, c.tag_path, c.sequence,
       c.expected_value, c.new_value, c.unit, c.route, c.status, c.result_code, c.execution_result, c.read_back_value,
       r.approved_by_operator, r.approved_timestamp, c.created_timestamp, c.sent_timestamp, c.verified_timestamp,
       c.executed_timestamp,
       cast(extract(epoch from clock_timestamp() - c.created_timestamp) as double precision) as age_s,
       cast(extract(epoch from clock_timestamp() - c.sent_timestamp) as double precision) as sent_ago_s, c.settled_by,
       listed.data_type
from agent_commands c
join agent_recommendations r on r.recommendation_id = c.recommendation_id
left join tag_limits listed on listed.tag_path = c.tag_path
where c.created_timestamp > clock_timestamp() - make_interval(secs => 3600 * cast(:hours as double precision))
  and (coalesce(cast(:equipment_id as text), '') = '' or c.equipment_id = cast(:equipment_id as text))
order by c.created_timestamp desc, c.recommendation_id, c.sequence desc
limit cast(:max_rows as integer)
