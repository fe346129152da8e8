-- name: close_left_behind
-- what: Record that sessions ended which a program left open when it was killed.
-- param: prefixes text[], what the ids of its sessions begin with; one here
-- param: write_key text, of this change
-- role: bridge_operator
update operator_sessions
set status = 'closed', logout_timestamp = current_timestamp(), write_key = :write_key
where status = 'active' and startswith(session_id, concat(:prefixes))
