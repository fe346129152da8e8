-- name: settle
-- what: End a command that was sent and lost its holder, or whose outcome was unknown, by what a read-back found.
-- param: command_id text
-- param: from_status text, executing or unknown
-- param: status text, executed, failed or unknown
-- param: result text
-- param: code text, null for a confirmed write
-- param: read_back double precision, may be null
-- param: write_key text, of this change
-- role: bridge_agent
update agent_commands
set status = :status, execution_result = :result, result_code = cast(:code as string),
    read_back_value = coalesce(cast(:read_back as double), read_back_value),
    executed_timestamp = case when :status = 'executed' then current_timestamp() else executed_timestamp end,
    verified_timestamp = case when :status = 'executed' then current_timestamp() else verified_timestamp end,
    write_key = :write_key
where command_id = :command_id and status = :from_status and sent_timestamp is not null
  and (status = 'unknown' or lease_expires_at <= current_timestamp())
