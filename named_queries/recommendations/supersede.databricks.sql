-- name: supersede
-- what: Withdraw open proposals of one equipment and issue that nobody has approved, because the condition ended.
-- param: equipment_id text
-- param: issue_type text
-- param: agent_id text, only this agent's own proposals are withdrawn
-- param: reason text
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set status = 'superseded', execution_result = :reason, updated_timestamp = current_timestamp(), write_key = :write_key
where equipment_id = :equipment_id and issue_type = :issue_type and created_by_agent = :agent_id
  and status in ('pending', 'deferred')
