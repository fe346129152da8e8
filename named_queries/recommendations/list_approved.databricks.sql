-- name: list_approved
-- what: Approved recommendations with what a command is made from, and who approved which digest; one row per approval.
-- role: bridge_agent
select r.recommendation_id, r.equipment_id, r.issue_type, r.severity, r.recommended_action, r.proposed_writes,
       r.write_digest, r.write_count, r.created_by_agent, r.approved_by_operator, r.approvals_required, r.approved_timestamp,
       cast(unix_micros(current_timestamp()) - unix_micros(r.approved_timestamp) as double) / 1000000 as approved_ago_s,
       a.operator, a.digest, b.armed
from agent_recommendations as r
cross join bridge_control as b
left join approvals as a on a.recommendation_id = r.recommendation_id and a.digest = r.write_digest
where r.status = 'approved'
order by r.approved_timestamp, r.recommendation_id
