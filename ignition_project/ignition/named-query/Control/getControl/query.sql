select armed, changed_by, reason, changed_timestamp,
       cast(extract(epoch from clock_timestamp() - changed_timestamp) as double precision) as changed_ago_s
from bridge_control
