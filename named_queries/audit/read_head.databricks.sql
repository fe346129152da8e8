-- name: read_head
-- what: Where the chain ends by its own account, with its newest entries.
-- role: bridge_agent, bridge_operator, bridge_reader
select seq, hash, entries, write_key
from agent_audit_head
