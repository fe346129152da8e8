update agent_recommendations
set status = 'deferred', decided_by_operator = :operator, operator_notes = coalesce(:comment, operator_notes),
    defer_until = clock_timestamp() + make_interval(secs => 60 * cast(:minutes as double precision))
where recommendation_id = :recommendation_id and status = 'pending'
  and write_digest = coalesce(cast(:digest as text), write_digest)
returning recommendation_id, status
