-- name: cancel_pending
-- what: Cancel commands that nobody has sent: the bridge is disarmed, the approval lapsed, or an earlier write did not succeed.
-- param: approval_valid_s double precision, unused here: the time was compared when the reasons were made
-- param: command_ids text[]
-- param: codes text[]
-- param: results text[]
-- param: write_key text, of this change
-- role: bridge_agent
merge into agent_commands as c
using (
    select * from values (:command_ids, :codes, :results) as v (command_id, code, result)
) as n
on c.command_id = n.command_id and c.status = 'pending'
when matched then update set
    status = 'cancelled', result_code = n.code, execution_result = n.result, write_key = :write_key
