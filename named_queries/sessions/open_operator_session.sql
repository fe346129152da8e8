-- name: open_operator_session
-- what: Record that a person is at the HMI and whether the login may decide; the same person in the same Perspective session stays one row.
-- param: session_id text, Perspective's own id and the person's name
-- param: operator text, from the session's login and never from a field
-- param: may_decide boolean, whether the login has a role that decides; null when that is not known
-- role: bridge_operator
insert into operator_sessions (session_id, operator_id, may_decide)
values (:session_id, :operator, cast(:may_decide as boolean))
on conflict (session_id) do update
set status = 'active', logout_timestamp = null, may_decide = excluded.may_decide
returning session_id
