-- name: close_others_there
-- what: Record that whoever else was logged in at the same place has left.
-- param: session_id text, of the one who stays
-- param: place text, the session's own id with a slash behind it
-- role: bridge_operator
update operator_sessions
set status = 'closed', logout_timestamp = current_timestamp()
where status = 'active' and session_id <> :session_id and startswith(session_id, :place)
