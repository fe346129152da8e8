-- name: settle
-- what: End a command that was sent and lost its holder, or whose outcome was unknown, by what a read-back found.
-- param: command_id text
-- param: from_status text, executing or unknown
-- param: status text, executed, failed or unknown
-- param: result text
-- param: code text, null for a confirmed write
-- param: read_back double precision, may be null
-- role: bridge_agent
update agent_commands
set status = :status, execution_result = :result, result_code = :code, read_back_value = coalesce(:read_back, read_back_value)
where command_id = :command_id and status = :from_status and sent_timestamp is not null
  and (status = 'unknown' or lease_expires_at <= clock_timestamp())
returning command_id, recommendation_id
