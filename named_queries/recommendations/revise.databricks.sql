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
-- param: digest text, SHA-256 over the writes
-- param: write_count integer
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set severity = :severity, confidence_score = cast(:confidence as double), temperature_reading = cast(:temperature as double),
    pressure_reading = cast(:pressure as double), flow_rate_reading = cast(:flow_rate as double),
    root_cause_analysis = :root_cause, recommended_action = :action, expected_outcome = :expected_outcome,
    proposed_writes = :writes, write_digest = :digest, write_count = :write_count, evidence = :evidence, source = :source,
    expires_at = timestamp_micros(unix_micros(current_timestamp()) + cast(1000000 * :valid_s as bigint)),
    advice_state = null, advice_question = null, advice_attempts = 0,
    updated_timestamp = current_timestamp(), write_key = :write_key
where recommendation_id = :recommendation_id and status = 'pending'
