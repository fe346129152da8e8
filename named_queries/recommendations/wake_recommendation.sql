-- name: wake_recommendation
-- what: Bring one deferred recommendation back before its time.
-- param: recommendation_id text
-- role: bridge_agent, bridge_operator
update agent_recommendations
set status = 'pending'
where recommendation_id = :recommendation_id and status = 'deferred'
returning recommendation_id
