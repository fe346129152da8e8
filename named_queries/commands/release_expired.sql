-- name: release_expired
-- what: Give commands back whose holder is gone and who were never sent.
-- role: bridge_agent
update agent_commands
set status = 'pending'
where status = 'executing' and sent_timestamp is null and lease_expires_at <= clock_timestamp()
returning command_id
