-- name: expire_pending
-- what: Expire proposals that nobody answered and nobody stands behind any more.
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set status = 'expired', execution_result = concat('nobody answered by ', cast(expires_at as string), ' UTC'),
    updated_timestamp = current_timestamp(), write_key = :write_key
where status = 'pending' and expires_at <= current_timestamp()
