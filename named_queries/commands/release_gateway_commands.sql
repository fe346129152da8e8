-- name: release_gateway_commands
-- what: Give back what the gateway claimed and never sent: this holder's own, and those of a pass that died before its intent.
-- param: command_ids text, JSON list
-- param: claimed_by text
-- role: bridge_operator
update agent_commands
set status = 'pending'
where command_id in (select jsonb_array_elements_text(cast(:command_ids as jsonb)))
  and status = 'executing' and route = 'gateway' and sent_timestamp is null
  and (claimed_by = :claimed_by or lease_expires_at <= clock_timestamp())
returning command_id
