-- name: expire_approved
-- what: Void approvals that could not be executed in time or that no limit allows any more; nothing was written.
-- param: approval_valid_s double precision, unused here: the time was compared when the reasons were made
-- param: recommendation_ids text[]
-- param: reasons text[]
-- param: write_key text, of this change
-- role: bridge_agent
merge into agent_recommendations as r
using (
    select * from values (:recommendation_ids, :reasons) as v (recommendation_id, reason)
) as n
on r.recommendation_id = n.recommendation_id and r.status = 'approved'
when matched then update set
    status = 'expired', execution_result = n.reason, updated_timestamp = current_timestamp(), write_key = :write_key
