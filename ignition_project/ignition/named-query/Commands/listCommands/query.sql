select command_id, recommendation_id, equipment_id, tag_path, sequence, expected_value, new_value, unit, route, status,
       claimed_by, created_timestamp, claimed_timestamp, sent_timestamp, verified_timestamp, executed_timestamp,
       read_back_value, result_code, execution_result, settled_by,
       cast(extract(epoch from clock_timestamp() - created_timestamp) as double precision) as age_s,
       cast(extract(epoch from clock_timestamp() - sent_timestamp) as double precision) as sent_ago_s
from agent_commands
where recommendation_id = :recommendation_id
order by sequence
