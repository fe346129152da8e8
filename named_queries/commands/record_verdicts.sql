-- name: record_verdicts
-- what: Record what became of claimed commands; only the holder of the claim can.
-- param: command_ids text[]
-- param: statuses text[]
-- param: results text[]
-- param: codes text[], null for a confirmed write
-- param: read_backs double precision[]
-- param: claimed_by text
-- role: bridge_agent
update agent_commands c
set status = verdict.status, execution_result = verdict.result, result_code = verdict.code, read_back_value = verdict.read_back
from unnest(cast(:command_ids as text[]), cast(:statuses as text[]), cast(:results as text[]), cast(:codes as text[]),
            cast(:read_backs as double precision[])) as verdict (command_id, status, result, code, read_back)
where c.command_id = verdict.command_id and c.status = 'executing' and c.claimed_by = :claimed_by
returning c.command_id, c.recommendation_id
