-- name: close_handed_over
-- what: Finish recommendations that became a work order: executed, with no tag written.
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set status = 'executed', executed_timestamp = current_timestamp(),
    execution_result = concat('handed to people as work order W-', recommendation_id, '; no tag was written'),
    updated_timestamp = current_timestamp(), write_key = :write_key
where status = 'executing' and write_count = 0
  and concat('W-', recommendation_id) in (select work_order_id from work_orders)
