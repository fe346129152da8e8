-- name: list_executing
-- what: Every executing recommendation with its commands, one row per command; without commands, one row.
-- role: bridge_agent
select r.recommendation_id, r.equipment_id, r.issue_type, r.severity, r.recommended_action, r.proposed_writes,
       r.write_digest, r.write_count, r.created_by_agent, r.approvals_required,
       cast(unix_micros(current_timestamp()) - unix_micros(r.approved_timestamp) as double) / 1000000 as approved_ago_s,
       c.command_id, c.sequence, c.tag_path, c.status as command_status, c.execution_result as command_result
from agent_recommendations as r
left join agent_commands as c on c.recommendation_id = r.recommendation_id
where r.status = 'executing'
order by r.recommendation_id, c.sequence
