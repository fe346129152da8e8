-- name: list_active
-- what: Who is logged in now, what each login may do, and what each looks at.
-- role: bridge_agent, bridge_operator, bridge_reader
select session_id, operator_id, may_decide, may_arm,
       case when looked_at_timestamp > current_timestamp() - interval '15' second then looking_at end as looking_at
from operator_sessions
where status = 'active'
