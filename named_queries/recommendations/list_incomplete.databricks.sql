-- name: list_incomplete
-- what: Pending recommendations that others inserted without exact writes and that no remedy was tried on yet.
-- param: agent_id text, the agent's own proposals are left out
-- role: bridge_agent
select recommendation_id, equipment_id, issue_type, severity
from agent_recommendations
where status = 'pending' and write_count = 0 and created_by_agent <> :agent_id and not completion_noted
order by created_timestamp
limit 100
