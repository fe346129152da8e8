-- name: propose
-- what: Insert a recommendation unless one is open for the same equipment and issue; no row affected means one is open.
-- param: equipment_id text
-- param: issue_type text
-- param: severity text, low, medium, high or critical
-- param: confidence double precision, 0 to 1
-- param: temperature double precision, °C, may be null
-- param: pressure double precision, bar, may be null
-- param: flow_rate double precision, l/min, may be null
-- param: root_cause text
-- param: action text
-- param: expected_outcome text
-- param: writes text, JSON list of {tag_path, from, to, unit}
-- param: evidence text, JSON object
-- param: source text, rules, genie, llm or pipeline
-- param: valid_s double precision, seconds until it expires
-- param: agent_id text
-- param: new_id text, of the recommendation
-- param: digest text, SHA-256 over the writes
-- param: write_count integer
-- param: write_key text, of this change
-- role: bridge_agent
merge into agent_recommendations as r
using (select cast(:equipment_id as string) as equipment_id, cast(:issue_type as string) as issue_type) as n
on r.equipment_id = n.equipment_id and r.issue_type = n.issue_type
   and r.status in ('pending', 'deferred', 'approved', 'executing')
when not matched then insert (
    recommendation_id, equipment_id, issue_type, severity, confidence_score, temperature_reading, pressure_reading,
    flow_rate_reading, root_cause_analysis, recommended_action, expected_outcome, proposed_writes, write_digest,
    write_count, evidence, source, status, created_timestamp, updated_timestamp, expires_at, created_by_agent,
    completion_noted, approvals_required, advice_attempts, write_key
)
values (
    :new_id, n.equipment_id, n.issue_type, :severity, cast(:confidence as double), cast(:temperature as double),
    cast(:pressure as double), cast(:flow_rate as double), :root_cause, :action, :expected_outcome, :writes, :digest,
    :write_count, :evidence, :source, 'pending', current_timestamp(), current_timestamp(),
    timestamp_micros(unix_micros(current_timestamp()) + cast(1000000 * :valid_s as bigint)), :agent_id,
    false, 1, 0, :write_key
)
