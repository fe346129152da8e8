-- name: heartbeat
-- what: Say that the agent lives, with the number of polls it has completed.
-- param: agent_id text
-- param: status text, online or offline
-- param: polls_completed bigint
-- param: site text
-- param: version text
-- param: cycle_ms double precision
-- param: detail text, JSON object
-- role: bridge_agent
merge into agent_health as h
using (select cast(:agent_id as string) as agent_id) as n
on h.agent_id = n.agent_id
when matched then update set
    last_heartbeat = current_timestamp(), status = :status, polls_completed = :polls_completed, site = :site,
    version = :version, cycle_ms = :cycle_ms, detail = :detail
when not matched then insert (agent_id, last_heartbeat, status, polls_completed, site, version, cycle_ms, detail)
values (n.agent_id, current_timestamp(), :status, :polls_completed, :site, :version, :cycle_ms, :detail)
