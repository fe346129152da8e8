select seq, at, cast(extract(epoch from clock_timestamp() - at) as double precision) as ago_s, actor, db_role, action,
       object_type, object_id, recommendation_id, old_status, new_status, cast(detail as text) as detail, hash
from agent_audit
where recommendation_id = :recommendation_id
order by seq
