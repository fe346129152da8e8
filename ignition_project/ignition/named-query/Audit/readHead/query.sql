select seq, hash
from agent_audit_head
