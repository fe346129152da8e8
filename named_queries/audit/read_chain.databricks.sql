-- name: read_chain
-- what: A stretch of the whole chain, in its order, for verification; an entry that was put in twice shows once.
-- param: after_seq bigint
-- param: max_rows integer
-- role: bridge_agent, bridge_operator, bridge_reader
select distinct seq, at, actor, db_role, action, object_type, object_id, recommendation_id, old_status, new_status,
       detail, prev_hash, hash
from agent_audit
where seq > :after_seq
order by seq
limit :max_rows
