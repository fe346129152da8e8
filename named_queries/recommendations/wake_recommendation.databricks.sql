-- name: wake_recommendation
-- what: Bring one deferred recommendation back before its time.
-- param: recommendation_id text
-- param: write_key text, of this change
-- role: bridge_agent, bridge_operator
update agent_recommendations
set status = 'pending', defer_until = null, updated_timestamp = current_timestamp(), write_key = :write_key
where recommendation_id = :recommendation_id and status = 'deferred'
