-- name: settle_gateway_command
-- what: End a command that the gateway sent and lost, or whose outcome was unknown, by what reading its tag back found.
-- param: command_id text
-- param: from_status text, executing or unknown
-- param: status text, executed, failed or unknown
-- param: result text, the code and then the reason
-- param: code text, null for a confirmed write
-- param: read_back double precision, may be null
-- param: settled_by text, the gateway that read back, as claims name it; never a person
-- role: bridge_operator
update agent_commands
set status = :status, execution_result = :result, result_code = :code,
    read_back_value = coalesce(cast(:read_back as double precision), read_back_value),
    settled_by = case when status = 'unknown' then cast(:settled_by as text) end
where command_id = :command_id and route = 'gateway' and status = :from_status and sent_timestamp is not null
  and (status = 'unknown' or lease_expires_at <= clock_timestamp())
returning command_id, recommendation_id
