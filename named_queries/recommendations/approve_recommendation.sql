-- name: approve_recommendation
-- what: Approve exactly the writes with this digest; no row back means somebody decided, or the proposal changed.
-- param: recommendation_id text
-- param: operator text, the person, from the session and never from a field
-- param: digest text, of the writes that were shown
-- param: comment text, may be null
-- role: bridge_operator
update agent_recommendations
set status = 'approved', approved_by_operator = :operator, operator_notes = coalesce(:comment, operator_notes)
where recommendation_id = :recommendation_id and status = 'pending' and write_digest = :digest
returning recommendation_id, status
