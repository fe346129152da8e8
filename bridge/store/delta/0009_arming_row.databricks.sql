-- Made once, also when this statement arrives twice.
merge into bridge_control as c
using (select 1 as control_id) as n
on c.control_id = n.control_id
when not matched then insert (control_id, armed, changed_by, reason, changed_timestamp)
values (n.control_id, true, current_user(), 'armed when the tables were set up', current_timestamp())
