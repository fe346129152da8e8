update agent_recommendations
set status = 'rejected', decided_by_operator = :operator, rejection_reason = :reason
where recommendation_id = :recommendation_id and status = 'pending'
returning recommendation_id, status
