select work_order_id, equipment_id, description, status, assigned_to, priority, created_timestamp, completed_timestamp
from work_orders
where recommendation_id = :recommendation_id
order by created_timestamp
