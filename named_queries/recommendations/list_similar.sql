-- name: list_similar
-- what: Earlier finished recommendations of the same issue with how each was decided and why, first on the same equipment, then elsewhere, newest first.
-- param: recommendation_id text
-- param: max_rows integer
-- role: bridge_agent, bridge_operator, bridge_reader
with this as (
    select recommendation_id, equipment_id, issue_type, created_timestamp
    from agent_recommendations
    where recommendation_id = :recommendation_id
),
earlier as (
    (select r.*, true as same_equipment
     from this join agent_recommendations r on r.equipment_id = this.equipment_id and r.issue_type = this.issue_type
     where r.recommendation_id <> this.recommendation_id and r.created_timestamp <= this.created_timestamp
       and r.status in ('executed', 'failed', 'rejected', 'expired', 'superseded')
     order by r.created_timestamp desc
     limit least(cast(:max_rows as integer), 500))
    union all
    (select r.*, false as same_equipment
     from this join agent_recommendations r on r.issue_type = this.issue_type
     where r.equipment_id <> this.equipment_id and r.created_timestamp <= this.created_timestamp
       and r.status in ('executed', 'failed', 'rejected', 'expired', 'superseded')
     order by r.created_timestamp desc
     limit least(cast(:max_rows as integer), 500))
)
select recommendation_id, equipment_id, issue_type, severity, status, created_timestamp, same_equipment,
       coalesce(approved_by_operator, decided_by_operator) as decided_by,
       case when status = 'rejected' then 'rejected'
            when approved_by_operator is not null then 'approved'
            else status end as decision,
       coalesce(rejection_reason, operator_notes) as reason, execution_result,
       cast(proposed_writes as text) as writes,
       cast(extract(epoch from clock_timestamp() - created_timestamp) as double precision) as ago_s
from earlier
order by same_equipment desc, created_timestamp desc, recommendation_id
limit least(cast(:max_rows as integer), 500)
