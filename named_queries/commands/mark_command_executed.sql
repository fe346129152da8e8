-- name: mark_command_executed
-- what: The gateway wrote a command and read its value back; only the holder of the claim can say so.
-- param: command_id text
-- param: claimed_by text
-- param: result text
-- param: read_back double precision, Boolean as 0 or 1
-- role: bridge_operator
update agent_commands
set status = 'executed', execution_result = :result, read_back_value = cast(:read_back as double precision)
where command_id = :command_id and status = 'executing' and route = 'gateway' and claimed_by = :claimed_by
  and sent_timestamp is not null
returning command_id, recommendation_id
