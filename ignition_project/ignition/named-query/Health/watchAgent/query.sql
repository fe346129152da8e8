select coalesce(agents.online, false) as online, agents.heartbeat_age_s, coalesce(agents.silent, '') as silent,
       agents.watched, control.armed, control.changed_by as armed_by, control.reason as armed_reason,
       open.open_recommendations, open.critical_waiting, critical.critical_equipment,
       live.commands_unknown, live.commands_waiting, clock_timestamp() as database_time
from (
    select bool_and(alive) as online, max(age_s) as heartbeat_age_s, cast(count(*) as integer) as watched,
           string_agg(agent_id, ', ' order by agent_id) filter (where not alive) as silent
    from (
        select agent_id, cast(extract(epoch from clock_timestamp() - last_heartbeat) as double precision) as age_s,
               status = 'online' and last_heartbeat
                   > clock_timestamp() - make_interval(secs => cast(:offline_after_s as double precision)) as alive
        from agent_health
        where coalesce(cast(:agent_id as text), '') = '' or agent_id = cast(:agent_id as text)
    ) each_agent
) agents
cross join bridge_control control
cross join (
    select cast(count(*) as integer) as open_recommendations,
           cast(count(*) filter (where severity = 'critical' and status = 'pending') as integer) as critical_waiting
    from agent_recommendations
    where status in ('pending', 'deferred', 'approved', 'executing')
) open
cross join (
    select coalesce(string_agg(equipment_id, ', ' order by place) filter (where place <= 5), '')
           || case when count(*) > 5 then ' and ' || cast(count(*) - 5 as text) || ' more' else '' end
               as critical_equipment
    from (
        select equipment_id, row_number() over (order by min(created_timestamp), equipment_id) as place
        from agent_recommendations
        where status = 'pending' and severity = 'critical'
        group by equipment_id
    ) each_equipment
) critical
cross join (
    select cast(count(*) filter (where status = 'unknown') as integer) as commands_unknown,
           cast(count(*) filter (where status in ('pending', 'executing')) as integer) as commands_waiting
    from agent_commands
    where status in ('pending', 'executing', 'unknown')
) live
