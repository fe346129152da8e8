update agent_commands
set status = 'executed', execution_result = :result, read_back_value = cast(:read_back as double precision)
where command_id = :command_id and status = 'executing' and route = 'gateway' and claimed_by = :claimed_by
  and sent_timestamp is not null
returning command_id, recommendation_id
