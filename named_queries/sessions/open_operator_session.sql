-- name: open_operator_session
-- what: Record that a person is at the HMI and what the login may do; the same person in the same Perspective session stays one row, everybody else there has left.
-- param: session_id text, Perspective's own id and the person's name
-- param: operator text, from the session's login and never from a field
-- param: may_decide boolean, whether the login has a role that decides; null when that is not known
-- param: may_arm boolean, whether the login has a role that arms; null when that is not known
-- role: bridge_operator
with left_it as (
    update operator_sessions
    set status = 'closed', logout_timestamp = clock_timestamp()
    where status = 'active' and session_id <> :session_id
      and starts_with(session_id, split_part(cast(:session_id as text), '/', 1) || '/')
)
insert into operator_sessions (session_id, operator_id, may_decide, may_arm)
values (:session_id, :operator, cast(:may_decide as boolean), cast(:may_arm as boolean))
on conflict (session_id) do update
set status = 'active', logout_timestamp = null, may_decide = excluded.may_decide,
    may_arm = excluded.may_arm
returning session_id
