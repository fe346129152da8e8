-- name: list_from_others
-- what: Rows that others inserted since the given place, in the order of their transactions; rows of transactions still open come later.
-- param: after_xid text, xid8 of the last row read
-- param: after_reading_id bigint
-- param: max_rows integer
-- role: bridge_agent
select cast(external_xid as text) as xid, reading_id, equipment_id, temperature, pressure, flow_rate, quality,
       sensor_status, timestamp as source_time_utc, received_timestamp as received_utc, cast(signals as text) as signals
from sensor_data
where external_xid is not null
  and (external_xid, reading_id) > (cast(:after_xid as xid8), cast(:after_reading_id as bigint))
  and external_xid < pg_snapshot_xmin(pg_current_snapshot())
  -- Dates that no calendar of ours holds (infinity, BC, year 10000) say nothing about now.
  and timestamp between '0001-01-02' and '9999-12-30' and received_timestamp between '0001-01-02' and '9999-12-30'
order by external_xid, reading_id
limit cast(:max_rows as integer)
