select timestamp as source_time_utc, sensor_id, temperature, pressure, flow_rate, cast(signals as text) as signals, quality, recorded_by
from sensor_data
where equipment_id = :equipment_id and timestamp > clock_timestamp() - interval '1 hour'
order by timestamp desc
limit cast(:max_rows as integer)
