-- name: move_head
-- what: Append entries to the chain, if it still ends where it was looked at; no row affected means that somebody was faster.
-- param: seq bigint, of the last entry
-- param: hash text, of the last entry
-- param: entries text, JSON list of the entries
-- param: was_seq bigint
-- param: was_hash text
-- param: write_key text, of this change
-- role: bridge_agent, bridge_operator, owner
update agent_audit_head
set seq = :seq, hash = :hash, entries = :entries, write_key = :write_key
where seq = :was_seq and hash = :was_hash
