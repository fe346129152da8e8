-- name: revise
-- what: Replace the proposal of a pending recommendation; changed writes get a new digest and void approvals of the old.
-- param: recommendation_id text
-- param: severity text
-- param: confidence double precision
-- param: temperature double precision
-- param: pressure double precision
-- param: flow_rate double precision
-- param: root_cause text
-- param: action text
-- param: expected_outcome text
-- param: writes text, JSON list of {tag_path, from, to, unit}
-- param: evidence text, JSON object
-- param: source text
-- param: valid_s double precision
-- role: bridge_agent
update agent_recommendations
set severity = :severity, confidence_score = :confidence, temperature_reading = :temperature,
    pressure_reading = :pressure, flow_rate_reading = :flow_rate, root_cause_analysis = :root_cause,
    recommended_action = :action, expected_outcome = :expected_outcome, proposed_writes = cast(:writes as jsonb),
    evidence = cast(:evidence as jsonb), source = :source,
    advice_state = null, advice_question = null, advice_attempts = 0, -- advice was on what is replaced here
    expires_at = clock_timestamp() + make_interval(secs => cast(:valid_s as double precision))
where recommendation_id = :recommendation_id and status = 'pending'
returning recommendation_id, write_digest
