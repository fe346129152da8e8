select c.command_id, c.recommendation_id, c.equipment_id, c.tag_path, c.sequence, c.expected_value, c.new_value, c.unit,
       c.route, c.status, c.claimed_by, c.created_timestamp, c.claimed_timestamp, c.sent_timestamp, c.verified_timestamp,
       c.executed_timestamp, c.read_back_value, c.result_code, c.execution_result, listed.data_type,
       coalesce(listed.tolerance, 0) as tolerance
from agent_commands c
left join tag_limits listed on listed.tag_path = c.tag_path
where c.command_id = :command_id
