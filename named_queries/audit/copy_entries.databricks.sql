-- name: copy_entries
-- what: Put the entries of the head into the trail, each once.
-- param: entries text, JSON list of the entries
-- role: bridge_agent, bridge_operator, owner
merge into agent_audit as a
using (
    select * from inline(from_json(:entries, 'array<struct<seq:bigint,at_text:string,actor:string,db_role:string,action:string,object_type:string,object_id:string,recommendation_id:string,old_status:string,new_status:string,detail:string,prev_hash:string,hash:string>>'))
) as n
on a.seq = n.seq
when not matched then insert (
    seq, at, actor, db_role, action, object_type, object_id, recommendation_id, old_status, new_status, detail, prev_hash, hash
)
values (
    n.seq, cast(n.at_text as timestamp), n.actor, n.db_role, n.action, n.object_type, n.object_id, n.recommendation_id,
    n.old_status, n.new_status, n.detail, n.prev_hash, n.hash
)
