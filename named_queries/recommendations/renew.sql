-- name: renew
-- what: Keep proposals alive whose condition still lasts and whose writes are still right.
-- param: recommendation_ids text[]
-- param: valid_s double precision
-- role: bridge_agent
update agent_recommendations
set expires_at = clock_timestamp() + make_interval(secs => cast(:valid_s as double precision))
where recommendation_id = any(cast(:recommendation_ids as text[])) and status = 'pending'
