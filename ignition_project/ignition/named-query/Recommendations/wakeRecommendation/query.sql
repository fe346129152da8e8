update agent_recommendations
set status = 'pending'
where recommendation_id = :recommendation_id and status = 'deferred'
returning recommendation_id
