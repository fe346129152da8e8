-- name: reject_recommendation
-- what: Reject a pending recommendation with a reason; no row back means somebody decided already.
-- param: recommendation_id text
-- param: operator text
-- param: reason text
-- role: bridge_operator
update agent_recommendations
set status = 'rejected', decided_by_operator = :operator, rejection_reason = :reason
where recommendation_id = :recommendation_id and status = 'pending'
returning recommendation_id, status
