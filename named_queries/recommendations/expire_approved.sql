-- name: expire_approved
-- what: Void approvals that could not be executed in time or that no limit allows any more; nothing was written.
-- param: approval_valid_s double precision
-- role: bridge_agent
update agent_recommendations
set status = 'expired',
    execution_result = 'approved by ' || approved_by_operator || ' but '
        || coalesce(writes_refusal(proposed_writes, equipment_id),
                    'not executed within ' || cast(:approval_valid_s as double precision) || ' s'
                    || case when (select armed from bridge_control) then '' else ', the bridge is disarmed' end)
        || '; nothing was written'
where status = 'approved'
  and (approved_timestamp <= clock_timestamp() - make_interval(secs => cast(:approval_valid_s as double precision))
       or writes_refusal(proposed_writes, equipment_id) is not null)
returning recommendation_id
