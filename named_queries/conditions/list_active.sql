-- name: list_active
-- what: Conditions that have begun and not ended.
-- role: bridge_agent, bridge_operator, bridge_reader
select equipment_id, issue_type, severity, since_timestamp as since_utc, recommendation_id
from equipment_conditions
where cleared_timestamp is null
