-- name: give_approval
-- what: Record that a person approves one digest; once for each person, however the name is written.
-- param: recommendation_id text
-- param: operator text
-- param: digest text
-- param: comment text, may be null
-- role: bridge_operator
merge into approvals as a
using (
    select cast(:recommendation_id as string) as recommendation_id, cast(:operator as string) as operator,
           cast(:digest as string) as digest, cast(:comment as string) as comment
) as n
on a.recommendation_id = n.recommendation_id and a.digest = n.digest and lower(a.operator) = lower(n.operator)
when not matched then insert (recommendation_id, operator, digest, approved_timestamp, comment)
values (n.recommendation_id, n.operator, n.digest, current_timestamp(), n.comment)
