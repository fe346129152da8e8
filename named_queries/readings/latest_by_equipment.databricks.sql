-- name: latest_by_equipment
-- what: The newest values of one equipment within the last hour, newest first.
-- param: equipment_id text
-- param: max_rows integer
-- role: bridge_agent, bridge_operator, bridge_reader
select `timestamp` as source_time_utc, sensor_id, temperature, pressure, flow_rate, signals, quality, recorded_by
from sensor_data
where equipment_id = :equipment_id and `timestamp` > current_timestamp() - interval '1' hour
order by `timestamp` desc
limit :max_rows
