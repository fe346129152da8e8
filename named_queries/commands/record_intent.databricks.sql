-- name: record_intent
-- what: Record, before any byte leaves, that these commands are about to be sent; only those with this very key may be sent.
-- param: command_ids text[]
-- param: claimed_by text
-- param: write_key text, of this change
-- role: bridge_agent
update agent_commands
set sent_timestamp = current_timestamp(), write_key = :write_key
where command_id in (:command_ids) and status = 'executing' and claimed_by = :claimed_by
  and sent_timestamp is null and lease_expires_at > current_timestamp() and (select armed from bridge_control)
