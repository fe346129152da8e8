-- name: cancel_pending
-- what: Cancel commands that nobody has sent: the bridge is disarmed, the approval lapsed, or an earlier write did not succeed.
-- param: approval_valid_s double precision
-- role: bridge_agent
update agent_commands c
set status = 'cancelled', result_code = why.code, execution_result = why.code || ': ' || why.reason
from (
    select p.command_id,
           case when not (select armed from bridge_control) then 'disarmed'
                when exists (select from agent_commands e where e.recommendation_id = p.recommendation_id
                             and e.sequence < p.sequence and e.status in ('failed', 'unknown', 'cancelled')) then 'withdrawn'
                when r.approved_timestamp <= clock_timestamp() - make_interval(secs => cast(:approval_valid_s as double precision))
                    then 'expired'
           end as code,
           case when not (select armed from bridge_control) then 'the bridge was disarmed before anything was sent'
                when exists (select from agent_commands e where e.recommendation_id = p.recommendation_id
                             and e.sequence < p.sequence and e.status in ('failed', 'unknown', 'cancelled'))
                    then 'an earlier write of the same recommendation did not succeed'
                else 'the approval lapsed before anything was sent'
           end as reason
    from agent_commands p join agent_recommendations r on r.recommendation_id = p.recommendation_id
    where p.status = 'pending'
) why
where c.command_id = why.command_id and c.status = 'pending' and why.code is not null
returning c.command_id, c.recommendation_id
