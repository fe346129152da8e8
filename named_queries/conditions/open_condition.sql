-- name: open_condition
-- what: Record that a condition began, or that its severity changed.
-- param: equipment_id text
-- param: issue_type text
-- param: severity text
-- param: since_utc timestamptz
-- role: bridge_agent
insert into equipment_conditions (equipment_id, issue_type, severity, since_timestamp)
values (:equipment_id, :issue_type, :severity, :since_utc)
on conflict (equipment_id, issue_type) where cleared_timestamp is null
do update set severity = excluded.severity
