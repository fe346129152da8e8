-- name: list_changed
-- what: The commands that one change changed, known by its key; also when the answer to it said none.
-- param: write_key text
-- role: bridge_agent, bridge_operator, bridge_reader
select command_id, recommendation_id, status, tag_path, new_value, expected_value, unit, route, sequence, claimed_by,
       execution_result, result_code, read_back_value, lease_expires_at, created_by_agent
from agent_commands
where write_key = :write_key
