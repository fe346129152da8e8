-- name: sensor_trend
-- what: The values of one equipment over the last minutes, oldest first, averaged into at most so many rows; highs and lows have their own columns.
-- param: equipment_id text
-- param: minutes double precision
-- param: max_rows integer
-- role: bridge_agent, bridge_operator, bridge_reader
select date_bin(bucket.width, s.timestamp, to_timestamp(0)) as t_stamp,
       avg(s.temperature) as temperature, max(s.temperature) as temperature_max, min(s.temperature) as temperature_min,
       avg(s.pressure) as pressure, max(s.pressure) as pressure_max, min(s.pressure) as pressure_min,
       avg(s.flow_rate) as flow_rate, max(s.flow_rate) as flow_rate_max, min(s.flow_rate) as flow_rate_min,
       cast(count(*) as integer) as readings
from sensor_data s
cross join (
    select make_interval(secs => greatest(
        60 * cast(:minutes as double precision) / greatest(cast(:max_rows as integer) - 1, 1), 1)) as width
) bucket
where s.equipment_id = :equipment_id and s.quality <> 'bad'
  and s.timestamp > now() - make_interval(secs => 60 * cast(:minutes as double precision))
  and s.timestamp <= now()
group by 1
order by 1
limit cast(:max_rows as integer)
