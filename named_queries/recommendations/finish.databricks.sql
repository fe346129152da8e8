-- name: finish
-- what: Give executing recommendations their outcome once none of their commands is on its way any more.
-- param: recommendation_ids text[]
-- param: statuses text[], executed or failed
-- param: results text[]
-- param: write_key text, of this change
-- role: bridge_agent
merge into agent_recommendations as r
using (
    select * from values (:recommendation_ids, :statuses, :results) as v (recommendation_id, status, result)
) as n
on r.recommendation_id = n.recommendation_id and r.status = 'executing'
when matched then update set
    status = n.status, execution_result = n.result,
    executed_timestamp = case when n.status = 'executed' then current_timestamp() else r.executed_timestamp end,
    updated_timestamp = current_timestamp(), write_key = :write_key
