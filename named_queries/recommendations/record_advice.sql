-- name: record_advice
-- what: Write what an advisor said, or that it failed, into the pending proposal it was asked about; no row back means it was decided, revised or asked about again meanwhile.
-- param: recommendation_id text
-- param: question text, as it was asked
-- param: digest text, of the writes as they were then
-- param: state text, given or failed; null: it was not asked, and counts as no attempt
-- param: root_cause text, null leaves it
-- param: action text, taken with other writes alone: under one digest, what is to be done never changes
-- param: expected_outcome text, as the action
-- param: writes text, JSON list of {tag_path, from, to, unit}; null leaves them, others get a new digest
-- param: source text, null leaves it
-- param: note text, JSON object that becomes the evidence's `advisor`
-- role: bridge_agent
update agent_recommendations
set advice_state = cast(:state as text),
    advice_attempts = advice_attempts - case when cast(:state as text) is null then 1 else 0 end,
    root_cause_analysis = coalesce(cast(:root_cause as text), root_cause_analysis),
    recommended_action = case when cast(:writes as jsonb) <> proposed_writes
                              then coalesce(cast(:action as text), recommended_action) else recommended_action end,
    expected_outcome = case when cast(:writes as jsonb) <> proposed_writes
                            then coalesce(cast(:expected_outcome as text), expected_outcome) else expected_outcome end,
    proposed_writes = case when cast(:writes as jsonb) <> proposed_writes
                           then cast(:writes as jsonb) else proposed_writes end,
    source = coalesce(cast(:source as text), source),
    evidence = case jsonb_typeof(evidence) when 'object' then evidence else jsonb_build_object('given', evidence) end
        || jsonb_build_object('advisor', cast(:note as jsonb))
where recommendation_id = :recommendation_id and status = 'pending' and write_digest = :digest
  and advice_state = 'asked' and advice_question = :question
returning recommendation_id, write_digest
