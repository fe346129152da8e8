-- name: open_work_orders
-- what: Open a work order for every executing recommendation without exact writes, one for each.
-- role: bridge_agent
merge into work_orders as w
using (
    select recommendation_id, equipment_id, coalesce(recommended_action, issue_type) as description, severity
    from agent_recommendations
    where status = 'executing' and write_count = 0
) as n
on w.work_order_id = concat('W-', n.recommendation_id)
when not matched then insert (work_order_id, recommendation_id, equipment_id, description, status, created_timestamp, priority)
values (concat('W-', n.recommendation_id), n.recommendation_id, n.equipment_id, n.description, 'open', current_timestamp(), n.severity)
