-- name: store_readings
-- what: Store the bridge's own readings in bulk, all rows of a batch or none; no row affected means that the batch is there already.
-- param: rows text, JSON list of the rows
-- param: origin text, what numbers the batches; a fresh one for a batch without a mark
-- param: first bigint, number of the first batch
-- param: last bigint, number of the last batch
-- role: bridge_agent
insert into sensor_data (
    equipment_id, sensor_id, `timestamp`, temperature, pressure, flow_rate, signals, quality, source_status,
    sensor_status, replayed, received_timestamp, recorded_by, batch_origin, batch_last
)
select r.equipment_id, r.equipment_id, cast(r.source_time as timestamp), r.temperature, r.pressure, r.flow_rate,
       r.signals, r.quality, r.source_status, r.sensor_status, r.replayed, cast(r.received as timestamp), r.recorded_by,
       cast(:origin as string), cast(:last as bigint)
from inline(from_json(:rows, 'array<struct<equipment_id:string,source_time:string,temperature:double,pressure:double,flow_rate:double,signals:string,quality:string,source_status:string,sensor_status:string,replayed:boolean,received:string,recorded_by:string>>')) as r
where not exists (select 1 from sensor_data s where s.batch_origin = :origin and s.batch_last >= :first)
