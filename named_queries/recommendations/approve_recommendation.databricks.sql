-- name: approve_recommendation
-- what: Approve exactly these writes with this digest; no row affected means somebody decided, or the proposal changed.
-- param: recommendation_id text
-- param: operator text, the person, from the session and never from a field
-- param: digest text, of the writes that were shown
-- param: comment text, may be null
-- param: writes text, the writes as they were shown
-- param: write_key text, of this change
-- role: bridge_operator
update agent_recommendations
set status = 'approved', approved_by_operator = :operator, approved_timestamp = current_timestamp(),
    operator_notes = coalesce(cast(:comment as string), operator_notes), updated_timestamp = current_timestamp(),
    write_key = :write_key
where recommendation_id = :recommendation_id and status = 'pending' and write_digest = :digest
  and proposed_writes = :writes and expires_at > current_timestamp()
