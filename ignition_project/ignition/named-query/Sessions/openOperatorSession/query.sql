insert into operator_sessions (session_id, operator_id, may_decide)
values (:session_id, :operator, cast(:may_decide as boolean))
on conflict (session_id) do update
set status = 'active', logout_timestamp = null, may_decide = excluded.may_decide
returning session_id
