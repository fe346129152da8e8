-- name: open_operator_session
-- what: Record that a person is at the HMI; the same person in the same Perspective session stays one row.
-- param: session_id text, Perspective's own id and the person's name
-- param: operator text, from the session's login and never from a field
-- role: bridge_operator
insert into operator_sessions (session_id, operator_id)
values (:session_id, :operator)
on conflict (session_id) do update
set status = 'active', logout_timestamp = null
returning session_id
