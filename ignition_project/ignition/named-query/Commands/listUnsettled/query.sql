select command_id, recommendation_id, equipment_id, tag_path, sequence, expected_value, new_value, unit, route, status,
       claimed_by, sent_timestamp, extract(epoch from clock_timestamp() - sent_timestamp) as sent_s_ago
from agent_commands
where (status = 'executing' and sent_timestamp is not null and lease_expires_at <= clock_timestamp()) or status = 'unknown'
order by sent_timestamp
limit 500
