-- name: settle_by_hand
-- what: End an unknown outcome by what a person found at the panel, signed with the name.
-- param: command_id text
-- param: status text, executed or failed
-- param: result text
-- param: code text, null for a confirmed write
-- param: read_back double precision, what the panel shows; null only when it was not written
-- param: operator text
-- role: bridge_operator
update agent_commands
set status = :status, execution_result = :result, result_code = :code, settled_by = :operator,
    read_back_value = case when :status = 'executed' then cast(:read_back as double precision)
                           else coalesce(cast(:read_back as double precision), read_back_value) end
where command_id = :command_id and status = 'unknown'
returning command_id, recommendation_id
