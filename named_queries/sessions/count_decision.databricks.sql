-- name: count_decision
-- what: Count a decision for the session in which a person made it, once.
-- param: session_id text
-- param: decision text, approved or rejected
-- param: write_key text, of this change
-- role: bridge_operator
update operator_sessions
set approved_recommendations = approved_recommendations + case when :decision = 'approved' then 1 else 0 end,
    rejected_recommendations = rejected_recommendations + case when :decision = 'rejected' then 1 else 0 end,
    write_key = :write_key
where session_id = :session_id and status = 'active' and :decision in ('approved', 'rejected')
  and coalesce(write_key, '') <> :write_key
