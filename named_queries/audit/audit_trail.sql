-- name: audit_trail
-- what: The audit trail of one recommendation, its commands and work orders included, oldest first.
-- param: recommendation_id text
-- role: bridge_agent, bridge_operator, bridge_reader
select seq, at, cast(extract(epoch from clock_timestamp() - at) as double precision) as ago_s, actor, db_role, action,
       object_type, object_id, recommendation_id, old_status, new_status, cast(detail as text) as detail, hash
from agent_audit
where recommendation_id = :recommendation_id
order by seq
