-- name: audit_trail
-- what: The audit trail of one recommendation, its commands and work orders included, oldest first.
-- param: recommendation_id text
-- role: bridge_agent, bridge_operator, bridge_reader
select distinct seq, at, cast(unix_micros(current_timestamp()) - unix_micros(at) as double) / 1000000 as ago_s, actor,
       db_role, action, object_type, object_id, recommendation_id, old_status, new_status, detail, hash
from agent_audit
where recommendation_id = :recommendation_id
order by seq
