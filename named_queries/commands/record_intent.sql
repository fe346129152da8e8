-- name: record_intent
-- what: Record, before any byte leaves, that these commands are about to be sent; a command that does not come back must not be sent.
-- param: command_ids text[]
-- param: claimed_by text
-- role: bridge_agent
update agent_commands
set sent_timestamp = clock_timestamp()
where command_id = any(cast(:command_ids as text[])) and status = 'executing' and claimed_by = :claimed_by
  and sent_timestamp is null and lease_expires_at > clock_timestamp() and (select armed from bridge_control)
returning command_id
