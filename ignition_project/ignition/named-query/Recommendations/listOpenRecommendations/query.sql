select recommendation_id, equipment_id, issue_type, severity, status, confidence_score, recommended_action,
       root_cause_analysis, expected_outcome, cast(proposed_writes as text) as proposed_writes, write_digest,
       temperature_reading, pressure_reading, flow_rate_reading, source, created_by_agent, created_timestamp,
       approved_by_operator, defer_until, approvals_required,
       extract(epoch from clock_timestamp() - created_timestamp) as age_s,
       extract(epoch from expires_at - clock_timestamp()) as expires_in_s
from agent_recommendations
where status in ('pending', 'deferred', 'approved', 'executing')
order by array_position(array['critical', 'high', 'medium', 'low'], severity), created_timestamp
limit 500
