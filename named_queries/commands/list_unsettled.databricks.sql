-- name: list_unsettled
-- what: Sent commands without a verdict: those whose holder is gone, and those whose outcome is unknown.
-- role: bridge_agent, bridge_operator, bridge_reader
select command_id, recommendation_id, equipment_id, tag_path, sequence, expected_value, new_value, unit, route, status,
       claimed_by, sent_timestamp,
       cast(unix_micros(current_timestamp()) - unix_micros(sent_timestamp) as double) / 1000000 as sent_s_ago
from agent_commands
where (status = 'executing' and sent_timestamp is not null and lease_expires_at <= current_timestamp()) or status = 'unknown'
order by sent_timestamp
limit 500
