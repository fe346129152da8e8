update agent_recommendations
set status = 'approved', approved_by_operator = :operator, operator_notes = coalesce(:comment, operator_notes)
where recommendation_id = :recommendation_id and status = 'pending' and write_digest = :digest
returning recommendation_id, status
