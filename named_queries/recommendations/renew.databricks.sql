-- name: renew
-- what: Keep proposals alive whose condition still lasts and whose writes are still right.
-- param: recommendation_ids text[]
-- param: valid_s double precision
-- role: bridge_agent
update agent_recommendations
set expires_at = timestamp_micros(unix_micros(current_timestamp()) + cast(1000000 * :valid_s as bigint)),
    updated_timestamp = current_timestamp()
where recommendation_id in (:recommendation_ids) and status = 'pending'
