-- name: read_chain
-- what: A stretch of the whole chain, in its order, for verification.
-- param: after_seq bigint
-- param: max_rows integer
-- role: bridge_agent, bridge_operator, bridge_reader
select seq, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at_text, actor, db_role, action, object_type,
       object_id, recommendation_id, old_status, new_status, cast(detail as text) as detail, prev_hash, hash
from agent_audit
where seq > cast(:after_seq as bigint)
order by seq
limit cast(:max_rows as integer)
