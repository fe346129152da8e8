update agent_commands
set status = 'failed', execution_result = :result, result_code = :code,
    read_back_value = cast(:read_back as double precision)
where command_id = :command_id and status = 'executing' and route = 'gateway' and claimed_by = :claimed_by
returning command_id, recommendation_id
