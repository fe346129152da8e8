-- name: list_from_others
-- what: Rows that others inserted since the given moment, in the order in which they say they came.
-- param: after_xid text, a moment of received_timestamp, ISO 8601
-- param: after_reading_id bigint, unused here: Delta numbers no rows
-- param: max_rows integer
-- role: bridge_agent
select equipment_id, sensor_id, temperature, pressure, flow_rate, signals, quality, recorded_by,
       `timestamp` as source_time_utc, received_timestamp as received_utc
from sensor_data
where batch_origin is null and received_timestamp >= cast(:after_xid as timestamp)
order by received_timestamp, equipment_id, `timestamp`
limit :max_rows
