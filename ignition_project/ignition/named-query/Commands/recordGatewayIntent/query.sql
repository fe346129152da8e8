update agent_commands
set sent_timestamp = clock_timestamp()
where command_id in (select jsonb_array_elements_text(cast(:command_ids as jsonb)))
  and status = 'executing' and route = 'gateway' and claimed_by = :claimed_by
  and sent_timestamp is null and lease_expires_at > clock_timestamp() and (select armed from bridge_control)
returning command_id
