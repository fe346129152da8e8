-- name: settle_by_hand
-- what: End an unknown outcome by what a person found at the panel, signed with the name.
-- param: command_id text
-- param: status text, executed or failed
-- param: result text
-- param: code text, null for a confirmed write
-- param: read_back double precision, what the panel shows; null only when it was not written
-- param: operator text
-- param: write_key text, of this change
-- role: bridge_operator
update agent_commands
set status = :status, execution_result = :result, result_code = cast(:code as string), settled_by = :operator,
    read_back_value = case when :status = 'executed' then cast(:read_back as double)
                           else coalesce(cast(:read_back as double), read_back_value) end,
    executed_timestamp = case when :status = 'executed' then current_timestamp() else executed_timestamp end,
    verified_timestamp = case when :status = 'executed' then current_timestamp() else verified_timestamp end,
    write_key = :write_key
where command_id = :command_id and status = 'unknown' and sent_timestamp is not null
