update agent_commands
set status = 'pending'
where command_id in (select jsonb_array_elements_text(cast(:command_ids as jsonb)))
  and status = 'executing' and route = 'gateway' and sent_timestamp is null
  and (claimed_by = :claimed_by or lease_expires_at <= clock_timestamp())
returning command_id
