-- name: close_handed_over
-- what: Finish recommendations that became a work order: executed, with no tag written.
-- role: bridge_agent
update agent_recommendations r
set status = 'executed', execution_result = 'handed to people as work order ' || w.work_order_id || '; no tag was written'
from work_orders w
where w.recommendation_id = r.recommendation_id and r.status = 'executing' and jsonb_array_length(r.proposed_writes) = 0
returning r.recommendation_id
