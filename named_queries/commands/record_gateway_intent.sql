-- name: record_gateway_intent
-- what: Record, before any tag is written, that the gateway is about to write; a command that does not come back must not be written.
-- param: command_ids text, JSON list; one commit for all, because the database may be far away
-- param: claimed_by text
-- role: bridge_operator
update agent_commands
set sent_timestamp = clock_timestamp()
where command_id in (select jsonb_array_elements_text(cast(:command_ids as jsonb)))
  and status = 'executing' and route = 'gateway' and claimed_by = :claimed_by
  and sent_timestamp is null and lease_expires_at > clock_timestamp() and (select armed from bridge_control)
returning command_id
