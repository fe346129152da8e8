-- name: count_by_status
-- what: How many commands are live, and how many ended in the last 24 hours, by status.
-- role: bridge_agent, bridge_operator, bridge_reader
select status, count(*) as count
from agent_commands
where status in ('pending', 'executing', 'unknown') or created_timestamp > current_timestamp() - interval '24' hour
group by status
order by status
