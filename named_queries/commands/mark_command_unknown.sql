-- name: mark_command_unknown
-- what: The gateway sent a command and could not find out what became of it; only the holder of the claim can say so.
-- param: command_id text
-- param: claimed_by text
-- param: result text, the code and then the reason
-- param: code text
-- param: read_back double precision, null when nothing could be read
-- role: bridge_operator
update agent_commands
set status = 'unknown', execution_result = :result, result_code = :code,
    read_back_value = cast(:read_back as double precision)
where command_id = :command_id and status = 'executing' and route = 'gateway' and claimed_by = :claimed_by
  and sent_timestamp is not null
returning command_id, recommendation_id
