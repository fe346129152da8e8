-- name: open_operator_session
-- what: Record that a person is at the HMI and what the login may do; the same session stays one row.
-- param: session_id text, the session's own id and the person's name
-- param: operator text, from the session's login and never from a field
-- param: may_decide boolean, null when that is not known
-- param: may_arm boolean, null when that is not known
-- role: bridge_operator
merge into operator_sessions as s
using (
    select cast(:session_id as string) as session_id, cast(:operator as string) as operator_id,
           cast(:may_decide as boolean) as may_decide, cast(:may_arm as boolean) as may_arm
) as n
on s.session_id = n.session_id
when matched then update set
    status = 'active', logout_timestamp = null, may_decide = n.may_decide, may_arm = n.may_arm
when not matched then insert (
    session_id, operator_id, login_timestamp, status, approved_recommendations, rejected_recommendations, may_decide, may_arm
)
values (n.session_id, n.operator_id, current_timestamp(), 'active', 0, 0, n.may_decide, n.may_arm)
