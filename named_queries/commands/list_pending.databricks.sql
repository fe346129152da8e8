-- name: list_pending
-- what: Commands that nobody has claimed, with what may call them off.
-- role: bridge_agent
select p.command_id, p.recommendation_id, b.armed, r.status as recommendation_status,
       cast(unix_micros(current_timestamp()) - unix_micros(max(r.approved_timestamp)) as double) / 1000000 as approved_ago_s,
       count(e.command_id) as failed_before
from agent_commands as p
join agent_recommendations as r on r.recommendation_id = p.recommendation_id
cross join bridge_control as b
left join agent_commands as e on e.recommendation_id = p.recommendation_id and e.sequence < p.sequence
    and e.status in ('failed', 'unknown', 'cancelled')
where p.status = 'pending'
group by p.command_id, p.recommendation_id, b.armed, r.status
