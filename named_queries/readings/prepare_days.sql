-- name: prepare_days
-- what: Make the partitions of the coming days and drop those past their retention.
-- param: days_ahead integer
-- param: retention_days integer
-- role: bridge_agent
select prepare_sensor_days(cast(:days_ahead as integer)) as made, drop_sensor_days(cast(:retention_days as integer)) as dropped
