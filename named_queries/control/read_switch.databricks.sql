-- name: read_switch
-- what: The key of the last change of the arming switch.
-- role: bridge_agent, bridge_operator, bridge_reader
select armed, write_key
from bridge_control
