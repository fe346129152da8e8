with recursive seen as (
    -- From one equipment to the next along the index, instead of over every reading of the day.
    (select equipment_id from sensor_data where timestamp > now() - interval '1 day' order by equipment_id limit 1)
    union all
    select (select s.equipment_id from sensor_data s
            where s.equipment_id > seen.equipment_id and s.timestamp > now() - interval '1 day'
            order by s.equipment_id limit 1)
    from seen
    where seen.equipment_id is not null
),
known as (
    select equipment_id from seen where equipment_id is not null
    union
    select equipment_id from tag_limits
    union
    select equipment_id from agent_recommendations where status in ('pending', 'deferred', 'approved', 'executing')
)
select known.equipment_id, latest.temperature, latest.pressure, latest.flow_rate, latest.quality,
       latest.newest as source_timestamp,
       cast(extract(epoch from now() - latest.newest) as double precision) as age_s,
       case when latest.newest is null then 'none'
            when latest.newest < now() - make_interval(secs => cast(:stale_after_s as double precision)) then 'stale'
            else latest.quality end as reading_state,
       coalesce(waiting.open_recommendations, 0) as open_recommendations, waiting.recommendation_id, waiting.issue_type,
       waiting.severity, waiting.recommendation_status,
       command.command_id, command.command_status, command.command_tag_path, command.command_result, command.command_age_s
from known
left join lateral (
    select (array_agg(temperature order by timestamp desc) filter (where temperature is not null))[1] as temperature,
           (array_agg(pressure order by timestamp desc) filter (where pressure is not null))[1] as pressure,
           (array_agg(flow_rate order by timestamp desc) filter (where flow_rate is not null))[1] as flow_rate,
           (array_agg(quality order by timestamp desc))[1] as quality, max(timestamp) as newest
    from (
        select timestamp, temperature, pressure, flow_rate, quality
        from sensor_data s
        where s.equipment_id = known.equipment_id and s.timestamp > now() - interval '1 day'
        order by timestamp desc
        limit 50
    ) newest_rows
) latest on true
left join lateral (
    select cast(count(*) over () as integer) as open_recommendations, r.recommendation_id, r.issue_type, r.severity,
           r.status as recommendation_status
    from agent_recommendations r
    where r.equipment_id = known.equipment_id and r.status in ('pending', 'deferred', 'approved', 'executing')
    order by array_position(array['critical', 'high', 'medium', 'low'], r.severity), r.created_timestamp
    limit 1
) waiting on true
left join lateral (
    select c.command_id, c.status as command_status, c.tag_path as command_tag_path, c.execution_result as command_result,
           cast(extract(epoch from now() - c.created_timestamp) as double precision) as command_age_s
    from agent_recommendations r
    join agent_commands c on c.recommendation_id = r.recommendation_id
    where r.equipment_id = known.equipment_id and r.created_timestamp > now() - interval '7 days'
    order by c.created_timestamp desc, c.sequence desc
    limit 1
) command on true
order by array_position(array['critical', 'high', 'medium', 'low'], waiting.severity) nulls last, known.equipment_id
limit cast(:max_rows as integer)
