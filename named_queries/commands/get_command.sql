-- name: get_command
-- what: One command by its id, with the recommendation that it belongs to.
-- param: command_id text
-- role: bridge_agent, bridge_operator, bridge_reader
select command_id, recommendation_id, equipment_id, tag_path, sequence, expected_value, new_value, unit, route, status,
       claimed_by, created_timestamp, claimed_timestamp, sent_timestamp, verified_timestamp, executed_timestamp,
       read_back_value, result_code, execution_result
from agent_commands
where command_id = :command_id
