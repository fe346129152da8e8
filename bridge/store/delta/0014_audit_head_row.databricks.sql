-- Made once, also when this statement arrives twice.
merge into agent_audit_head as h
using (select 1 as head_id) as n
on h.head_id = n.head_id
when not matched then insert (head_id, seq, hash, entries)
values (n.head_id, 0, '0000000000000000000000000000000000000000000000000000000000000000', '[]')
