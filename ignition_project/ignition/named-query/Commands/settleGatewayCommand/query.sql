update agent_commands
set status = :status, execution_result = :result, result_code = :code,
    read_back_value = coalesce(cast(:read_back as double precision), read_back_value),
    settled_by = case when status = 'unknown' then cast(:settled_by as text) end
where command_id = :command_id and route = 'gateway' and status = :from_status and sent_timestamp is not null
  and (status = 'unknown' or lease_expires_at <= clock_timestamp())
returning command_id, recommendation_id
