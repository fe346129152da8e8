-- name: record_gateway_verdicts
-- what: Record in one commit what became of many commands of the gateway; only the holder of the claims can say so.
-- param: verdicts text, JSON list of {command_id, status, result, code, read_back}; code and read_back may be null
-- param: claimed_by text
-- role: bridge_operator
update agent_commands c
set status = verdict.status, execution_result = verdict.result, result_code = verdict.code,
    read_back_value = verdict.read_back
from jsonb_to_recordset(cast(:verdicts as jsonb))
    as verdict (command_id text, status text, result text, code text, read_back double precision)
where c.command_id = verdict.command_id and c.status = 'executing' and c.route = 'gateway'
  and c.claimed_by = :claimed_by and (c.sent_timestamp is not null or verdict.status = 'failed')
returning c.command_id, c.recommendation_id
