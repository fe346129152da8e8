-- name: agent_health
-- what: Every agent with the age of its heartbeat; offline by its own word or by silence.
-- param: offline_after_s double precision
-- role: bridge_agent, bridge_operator, bridge_reader
select agent_id, site, version, polls_completed, cycle_ms, last_heartbeat, created_timestamp, cast(detail as text) as detail,
       cast(extract(epoch from clock_timestamp() - last_heartbeat) as double precision) as heartbeat_age_s,
       case when status = 'online'
             and last_heartbeat > clock_timestamp() - make_interval(secs => cast(:offline_after_s as double precision))
            then 'online' else 'offline' end as status
from agent_health
order by agent_id
