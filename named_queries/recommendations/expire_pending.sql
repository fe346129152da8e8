-- name: expire_pending
-- what: Expire proposals that nobody answered and nobody stands behind any more.
-- role: bridge_agent
update agent_recommendations
set status = 'expired', execution_result = 'nobody answered by ' || to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
where status = 'pending' and expires_at <= clock_timestamp()
returning recommendation_id
