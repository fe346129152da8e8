-- name: wake_deferred
-- what: Bring deferred recommendations back when their time has come.
-- role: bridge_agent
update agent_recommendations
set status = 'pending'
where status = 'deferred' and defer_until <= clock_timestamp()
returning recommendation_id
