-- name: newest_place
-- what: Where reading others' rows begins for an agent that has just started: with the rows of the last minute, older ones are too late to act on.
-- role: bridge_agent
select cast(least(
           (select min(external_xid) from sensor_data
            where external_xid is not null and timestamp > clock_timestamp() - interval '1 hour'
              and received_timestamp > clock_timestamp() - interval '1 minute'),
           -- Never after the oldest transaction still open: its rows cannot be seen yet and would be skipped.
           pg_snapshot_xmin(pg_current_snapshot())
       ) as text) as xid, 0 as reading_id
