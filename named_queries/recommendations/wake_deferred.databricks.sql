-- name: wake_deferred
-- what: Bring deferred recommendations back when their time has come.
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set status = 'pending', defer_until = null, updated_timestamp = current_timestamp(), write_key = :write_key
where status = 'deferred' and defer_until <= current_timestamp()
