-- name: reject_recommendation
-- what: Reject a pending recommendation with a reason; no row affected means somebody decided, or the proposal changed.
-- param: recommendation_id text
-- param: operator text
-- param: reason text
-- param: digest text, of the writes that were shown; null only where none were
-- param: write_key text, of this change
-- role: bridge_operator
update agent_recommendations
set status = 'rejected', decided_by_operator = :operator, rejection_reason = :reason,
    rejected_timestamp = current_timestamp(), updated_timestamp = current_timestamp(), write_key = :write_key
where recommendation_id = :recommendation_id and status = 'pending'
  and write_digest = coalesce(cast(:digest as string), write_digest)
