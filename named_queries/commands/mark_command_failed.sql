-- name: mark_command_failed
-- what: The gateway did not write a command, or the tag shows another value afterwards; only the holder of the claim can say so.
-- param: command_id text
-- param: claimed_by text
-- param: result text, the code and then the reason
-- param: code text
-- param: read_back double precision, null when nothing could be read
-- role: bridge_operator
update agent_commands
set status = 'failed', execution_result = :result, result_code = :code,
    read_back_value = cast(:read_back as double precision)
where command_id = :command_id and status = 'executing' and route = 'gateway' and claimed_by = :claimed_by
returning command_id, recommendation_id
