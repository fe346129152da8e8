-- name: close_operator_session
-- what: Record that a session ended, for everybody who was logged in there.
-- param: perspective_id text, the session's own id
-- param: write_key text, of this change
-- role: bridge_operator
update operator_sessions
set status = 'closed', logout_timestamp = current_timestamp(), write_key = :write_key
where status = 'active' and (session_id = :perspective_id or startswith(session_id, concat(:perspective_id, '/')))
