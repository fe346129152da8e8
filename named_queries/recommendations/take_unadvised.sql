-- name: take_unadvised
-- what: Take the agent's own pending recommendations that want advice, most severe first, and note that it is asked for now.
-- param: agent_id text
-- param: question text, names this round of questions; only an answer to it is taken
-- param: again_after_s double precision, least time between two questions about one recommendation
-- param: patience_s double precision, after which a question without an answer counts as lost
-- param: attempts integer, questions about one proposal; a lost one comes once more, so that it can be given up
-- param: max_rows integer
-- role: bridge_agent
with wanted as (
    select recommendation_id
    from agent_recommendations
    where status = 'pending' and created_by_agent = :agent_id and expires_at > clock_timestamp()
      and (advice_asked_timestamp is null
           or (advice_state is null
               and advice_asked_timestamp <= clock_timestamp() - make_interval(secs => cast(:again_after_s as double precision)))
           or (advice_state = 'failed' and advice_attempts < cast(:attempts as integer)
               and advice_asked_timestamp <= clock_timestamp() - make_interval(secs => cast(:again_after_s as double precision)))
           or (advice_state = 'asked'
               and advice_asked_timestamp <= clock_timestamp() - make_interval(secs => cast(:patience_s as double precision))))
      and not exists (select from approvals a where a.recommendation_id = agent_recommendations.recommendation_id
                      and a.digest = agent_recommendations.write_digest)
    order by array_position(array['critical', 'high', 'medium', 'low'], severity), created_timestamp, recommendation_id
    limit cast(:max_rows as integer)
    for update skip locked
)
update agent_recommendations r
set advice_state = 'asked', advice_question = :question, advice_asked_timestamp = clock_timestamp(),
    advice_attempts = r.advice_attempts + 1
from wanted
where r.recommendation_id = wanted.recommendation_id and r.status = 'pending'
returning r.recommendation_id, r.equipment_id, r.issue_type, r.severity, r.write_digest, r.root_cause_analysis,
          r.recommended_action, cast(r.proposed_writes as text) as proposed_writes, cast(r.evidence as text) as evidence,
          r.advice_question, r.advice_attempts
