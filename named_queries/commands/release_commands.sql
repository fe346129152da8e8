-- name: release_commands
-- what: Give claimed commands back that were never sent; somebody else may take them.
-- param: command_ids text[]
-- param: claimed_by text
-- role: bridge_agent
update agent_commands
set status = 'pending'
where command_id = any(cast(:command_ids as text[])) and status = 'executing' and claimed_by = :claimed_by
  and sent_timestamp is null
returning command_id
