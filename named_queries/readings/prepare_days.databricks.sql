-- name: prepare_days
-- what: Remove the readings past their retention; there are no partitions to prepare.
-- param: days_ahead integer, unused here: Delta has no partitions to make
-- param: retention_days integer
-- role: bridge_agent
delete from sensor_data
where `timestamp` < timestamp_micros(unix_micros(current_timestamp()) - 86400000000 * cast(:retention_days as bigint))
