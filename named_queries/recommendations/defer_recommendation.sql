-- name: defer_recommendation
-- what: Put a pending recommendation off for some minutes; it comes back by itself; no row back means somebody decided, or the proposal changed.
-- param: recommendation_id text
-- param: operator text
-- param: minutes double precision
-- param: comment text, may be null
-- param: digest text, of the writes that were shown; null only where none were
-- role: bridge_operator
update agent_recommendations
set status = 'deferred', decided_by_operator = :operator, operator_notes = coalesce(:comment, operator_notes),
    defer_until = clock_timestamp() + make_interval(secs => 60 * cast(:minutes as double precision))
where recommendation_id = :recommendation_id and status = 'pending'
  and write_digest = coalesce(cast(:digest as text), write_digest)
returning recommendation_id, status
