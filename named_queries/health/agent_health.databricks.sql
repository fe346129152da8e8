-- name: agent_health
-- what: Every agent with the age of its heartbeat; offline by its own word or by silence.
-- param: offline_after_s double precision
-- role: bridge_agent, bridge_operator, bridge_reader
select agent_id, site, version, polls_completed, cycle_ms, last_heartbeat, created_timestamp, detail, heartbeat_age_s,
       case when status = 'online' and heartbeat_age_s < :offline_after_s then 'online' else 'offline' end as status
from (
    select agent_id, site, version, polls_completed, cycle_ms, last_heartbeat, created_timestamp, detail, status,
           cast(unix_micros(current_timestamp()) - unix_micros(last_heartbeat) as double) / 1000000 as heartbeat_age_s
    from agent_health
) as h
order by agent_id
