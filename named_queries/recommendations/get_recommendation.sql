-- name: get_recommendation
-- what: One recommendation with everything that is recorded of it.
-- param: recommendation_id text
-- role: bridge_agent, bridge_operator, bridge_reader
select recommendation_id, equipment_id, issue_type, severity, status, confidence_score, recommended_action,
       root_cause_analysis, expected_outcome, cast(proposed_writes as text) as proposed_writes, write_digest,
       cast(evidence as text) as evidence, temperature_reading, pressure_reading, flow_rate_reading, source,
       created_by_agent, created_timestamp, approved_by_operator, approved_timestamp, operator_notes,
       decided_by_operator, rejected_timestamp, rejection_reason, defer_until, executed_timestamp, execution_result,
       approvals_required, expires_at,
       extract(epoch from clock_timestamp() - created_timestamp) as age_s,
       extract(epoch from expires_at - clock_timestamp()) as expires_in_s
from agent_recommendations
where recommendation_id = :recommendation_id
