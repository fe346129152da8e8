update agent_recommendations
set status = 'rejected', decided_by_operator = :operator, rejection_reason = :reason
where recommendation_id = :recommendation_id and status = 'pending'
  and write_digest = coalesce(cast(:digest as text), write_digest)
returning recommendation_id, status
