select command_id, recommendation_id, equipment_id, tag_path, sequence, expected_value, new_value, unit, route, status,
       claimed_by, created_timestamp, claimed_timestamp, sent_timestamp, verified_timestamp, executed_timestamp,
       read_back_value, result_code, execution_result
from agent_commands
where recommendation_id = :recommendation_id
order by sequence
