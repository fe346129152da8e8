-- name: get_recommendation
-- what: One recommendation with everything that is recorded of it, who approved it so far and who looks at it just now.
-- param: recommendation_id text
-- role: bridge_agent, bridge_operator, bridge_reader
select r.recommendation_id, r.equipment_id, r.issue_type, r.severity, r.status, r.confidence_score, r.recommended_action,
       r.root_cause_analysis, r.expected_outcome, r.proposed_writes, r.write_digest, r.evidence, r.rejected_timestamp,
       r.executed_timestamp, r.expires_at, r.temperature_reading, r.pressure_reading, r.flow_rate_reading, r.source,
       r.created_by_agent, r.created_timestamp, r.approved_by_operator, r.approved_timestamp, r.decided_by_operator,
       r.operator_notes, r.defer_until, r.approvals_required, r.rejection_reason, r.execution_result,
       cast(unix_micros(current_timestamp()) - unix_micros(r.created_timestamp) as double) / 1000000 as age_s,
       cast(unix_micros(current_timestamp()) - unix_micros(r.approved_timestamp) as double) / 1000000 as approved_ago_s,
       cast(unix_micros(r.defer_until) - unix_micros(current_timestamp()) as double) / 1000000 as deferred_left_s,
       cast(unix_micros(r.expires_at) - unix_micros(current_timestamp()) as double) / 1000000 as expires_in_s,
       case when r.status in ('executed', 'failed', 'rejected', 'expired', 'superseded')
            then cast(unix_micros(current_timestamp()) - unix_micros(r.updated_timestamp) as double) / 1000000
       end as finished_ago_s
from agent_recommendations as r
where r.recommendation_id = :recommendation_id
