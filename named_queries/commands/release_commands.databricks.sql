-- name: release_commands
-- what: Give claimed commands back that were never sent; somebody else may take them.
-- param: command_ids text[]
-- param: claimed_by text
-- param: write_key text, of this change
-- role: bridge_agent
update agent_commands
set status = 'pending', claimed_by = null, claimed_timestamp = null, lease_expires_at = null, write_key = :write_key
where command_id in (:command_ids) and status = 'executing' and claimed_by = :claimed_by and sent_timestamp is null
