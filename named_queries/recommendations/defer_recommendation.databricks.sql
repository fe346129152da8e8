-- name: defer_recommendation
-- what: Put a pending recommendation off for some minutes; it comes back by itself; no row affected means somebody decided, or the proposal changed.
-- param: recommendation_id text
-- param: operator text
-- param: minutes double precision
-- param: comment text, may be null
-- param: digest text, of the writes that were shown; null only where none were
-- param: write_key text, of this change
-- role: bridge_operator
update agent_recommendations
set status = 'deferred', decided_by_operator = :operator, operator_notes = coalesce(cast(:comment as string), operator_notes),
    defer_until = timestamp_micros(unix_micros(current_timestamp()) + cast(60000000 * :minutes as bigint)),
    expires_at = greatest(expires_at, timestamp_micros(unix_micros(current_timestamp()) + cast(60000000 * (:minutes + 30) as bigint))),
    updated_timestamp = current_timestamp(), write_key = :write_key
where recommendation_id = :recommendation_id and status = 'pending'
  and write_digest = coalesce(cast(:digest as string), write_digest)
