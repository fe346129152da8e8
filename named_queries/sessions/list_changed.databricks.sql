-- name: list_changed
-- what: The sessions that one change changed, known by its key.
-- param: write_key text
-- role: bridge_operator
select session_id
from operator_sessions
where write_key = :write_key
