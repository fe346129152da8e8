-- name: open_condition
-- what: Record that a condition began, or that its severity changed.
-- param: equipment_id text
-- param: issue_type text
-- param: severity text
-- param: since_utc timestamptz
-- param: new_id text, of the condition, when it is new
-- role: bridge_agent
merge into equipment_conditions as c
using (
    select cast(:equipment_id as string) as equipment_id, cast(:issue_type as string) as issue_type,
           cast(:severity as string) as severity, cast(:since_utc as timestamp) as since_timestamp
) as n
on c.equipment_id = n.equipment_id and c.issue_type = n.issue_type and c.cleared_timestamp is null
when matched then update set severity = n.severity
when not matched then insert (condition_id, equipment_id, issue_type, severity, since_timestamp)
values (:new_id, n.equipment_id, n.issue_type, n.severity, n.since_timestamp)
