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
insert into agent_health (agent_id, last_heartbeat, status, polls_completed, site, version, cycle_ms, detail)
values (:agent_id, clock_timestamp(), :status, :polls_completed, :site, :version, :cycle_ms, cast(:detail as jsonb))
on conflict (agent_id) do update
set last_heartbeat = excluded.last_heartbeat, status = excluded.status, polls_completed = excluded.polls_completed,
    site = excluded.site, version = excluded.version, cycle_ms = excluded.cycle_ms, detail = excluded.detail
