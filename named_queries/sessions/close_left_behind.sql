-- name: close_left_behind
-- what: Record that sessions ended which a program left open when it was killed.
-- param: prefixes text[], what the ids of its sessions begin with
-- role: bridge_operator
update operator_sessions s
set status = 'closed', logout_timestamp = clock_timestamp()
from unnest(cast(:prefixes as text[])) as prefix
where s.status = 'active' and starts_with(s.session_id, prefix)
returning s.session_id
