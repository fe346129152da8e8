update agent_commands
set status = :status, execution_result = :result, result_code = :code, settled_by = :operator,
    read_back_value = case when :status = 'executed' then cast(:read_back as double precision)
                           else coalesce(cast(:read_back as double precision), read_back_value) end
where command_id = :command_id and status = 'unknown'
returning command_id, recommendation_id
