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
