-- name: propose
-- what: Insert a recommendation unless one is open for the same equipment and issue; no row back means one is open.
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
-- role: bridge_agent
insert into agent_recommendations (
    equipment_id, issue_type, severity, confidence_score, temperature_reading, pressure_reading, flow_rate_reading,
    root_cause_analysis, recommended_action, expected_outcome, proposed_writes, evidence, source, expires_at, created_by_agent
)
values (
    :equipment_id, :issue_type, :severity, :confidence, :temperature, :pressure, :flow_rate,
    :root_cause, :action, :expected_outcome, cast(:writes as jsonb), cast(:evidence as jsonb), :source,
    clock_timestamp() + make_interval(secs => cast(:valid_s as double precision)), :agent_id
)
on conflict (equipment_id, issue_type) where status in ('pending', 'deferred', 'approved', 'executing') do nothing
returning recommendation_id, write_digest
