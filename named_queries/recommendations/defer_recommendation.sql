-- name: defer_recommendation
-- what: Put a pending recommendation off for some minutes; it comes back by itself.
-- param: recommendation_id text
-- param: operator text
-- param: minutes double precision
-- param: comment text, may be null
-- role: bridge_operator
update agent_recommendations
set status = 'deferred', decided_by_operator = :operator, operator_notes = coalesce(:comment, operator_notes),
    defer_until = clock_timestamp() + make_interval(secs => 60 * cast(:minutes as double precision))
where recommendation_id = :recommendation_id and status = 'pending'
returning recommendation_id, status
