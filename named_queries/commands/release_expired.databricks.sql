-- name: release_expired
-- what: Give commands back whose holder is gone and who were never sent.
-- param: write_key text, of this change
-- role: bridge_agent
update agent_commands
set status = 'pending', claimed_by = null, claimed_timestamp = null, lease_expires_at = null, write_key = :write_key
where status = 'executing' and sent_timestamp is null and lease_expires_at <= current_timestamp()
