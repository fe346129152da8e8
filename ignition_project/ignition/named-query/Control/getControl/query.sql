select armed, changed_by, reason, changed_timestamp
from bridge_control
