-- name: record_verdicts
-- what: Record what became of claimed commands; only the holder of the claim can.
-- param: command_ids text[]
-- param: statuses text[], executed, failed or unknown
-- param: results text[]
-- param: codes text[], null for a confirmed write
-- param: read_backs double precision[]
-- param: claimed_by text
-- param: write_key text, of this change
-- role: bridge_agent
merge into agent_commands as c
using (
    select * from values (:command_ids, :statuses, :results, cast(:codes as string), cast(:read_backs as double))
        as v (command_id, status, result, code, read_back)
) as n
on c.command_id = n.command_id and c.status = 'executing' and c.claimed_by = :claimed_by
   and (c.sent_timestamp is not null or n.status = 'failed')
when matched then update set
    status = n.status, execution_result = n.result, result_code = n.code, read_back_value = n.read_back,
    executed_timestamp = case when n.status = 'executed' then current_timestamp() else c.executed_timestamp end,
    verified_timestamp = case when n.status = 'executed' then current_timestamp() else c.verified_timestamp end,
    write_key = :write_key
