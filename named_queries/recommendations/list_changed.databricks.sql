-- name: list_changed
-- what: The recommendations that one change changed, known by its key; also when the answer to it said none.
-- param: write_key text
-- role: bridge_agent, bridge_operator, bridge_reader
select recommendation_id, status, write_digest, proposed_writes, severity, execution_result, recommended_action
from agent_recommendations
where write_key = :write_key
