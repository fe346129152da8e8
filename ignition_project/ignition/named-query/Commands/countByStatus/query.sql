select status, count(*) as count
from agent_commands
where status in ('pending', 'executing', 'unknown') or created_timestamp > clock_timestamp() - interval '24 hours'
group by status
order by status
