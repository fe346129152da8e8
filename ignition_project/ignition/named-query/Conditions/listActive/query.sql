select equipment_id, issue_type, severity, since_timestamp as since_utc, recommendation_id
from equipment_conditions
where cleared_timestamp is null
