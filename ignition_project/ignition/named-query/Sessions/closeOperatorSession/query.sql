update operator_sessions
set status = 'closed', logout_timestamp = clock_timestamp()
where status = 'active' and (session_id = :perspective_id or starts_with(session_id, cast(:perspective_id as text) || '/'))
returning session_id
