-- name: list_commands
-- what: The commands of one recommendation, in their order.
-- param: recommendation_id text
-- role: bridge_agent, bridge_operator, bridge_reader
select command_id, recommendation_id, equipment_id, tag_path, sequence, expected_value, new_value, unit, route, status,
       claimed_by, created_timestamp, claimed_timestamp, sent_timestamp, verified_timestamp, executed_timestamp,
       read_back_value, result_code, execution_result, settled_by,
       cast(unix_micros(current_timestamp()) - unix_micros(created_timestamp) as double) / 1000000 as age_s,
       cast(unix_micros(current_timestamp()) - unix_micros(sent_timestamp) as double) / 1000000 as sent_ago_s
from agent_commands
where recommendation_id = :recommendation_id
order by sequence
