-- name: close_condition
-- what: Record that a condition ended.
-- param: equipment_id text
-- param: issue_type text
-- param: cleared_utc timestamptz
-- role: bridge_agent
update equipment_conditions
set cleared_timestamp = greatest(:cleared_utc, since_timestamp)
where equipment_id = :equipment_id and issue_type = :issue_type and cleared_timestamp is null
