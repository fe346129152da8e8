-- name: read_head
-- what: Where the chain ends by its own account.
-- role: bridge_agent, bridge_operator, bridge_reader
select seq, hash
from agent_audit_head
