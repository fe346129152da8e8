-- name: hand_to_people
-- what: Open a work order for every approved recommendation that has no exact write, and mark it executing.
-- param: max_recommendations integer
-- role: bridge_agent
with ready as (
    select recommendation_id
    from agent_recommendations
    where status = 'approved' and jsonb_array_length(proposed_writes) = 0
    order by approved_timestamp
    limit cast(:max_recommendations as integer)
    for update skip locked
),
moved as (
    update agent_recommendations r
    set status = 'executing'
    from ready
    where r.recommendation_id = ready.recommendation_id and r.status = 'approved'
    returning r.recommendation_id, r.equipment_id, r.recommended_action, r.issue_type, r.severity
)
insert into work_orders (recommendation_id, equipment_id, description, priority)
select recommendation_id, equipment_id, coalesce(recommended_action, issue_type), severity
from moved
returning work_order_id, recommendation_id
