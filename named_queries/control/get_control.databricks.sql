-- name: get_control
-- what: Whether writes are armed, who said so and why.
-- role: bridge_agent, bridge_operator, bridge_reader
select armed, changed_by, reason, changed_timestamp,
       cast(unix_micros(current_timestamp()) - unix_micros(changed_timestamp) as double) / 1000000 as changed_ago_s
from bridge_control
