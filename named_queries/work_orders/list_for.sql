-- name: list_for
-- what: The work orders of one recommendation.
-- param: recommendation_id text
-- role: bridge_agent, bridge_operator, bridge_reader
select work_order_id, equipment_id, description, status, assigned_to, priority, created_timestamp, completed_timestamp
from work_orders
where recommendation_id = :recommendation_id
order by created_timestamp
