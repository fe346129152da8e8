insert into operator_sessions (session_id, operator_id)
values (:session_id, :operator)
on conflict (session_id) do update
set status = 'active', logout_timestamp = null
returning session_id
