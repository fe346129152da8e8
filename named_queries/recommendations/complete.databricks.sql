-- name: complete
-- what: Give a pending recommendation that others wrote in prose its exact writes; nothing else of it changes.
-- param: recommendation_id text
-- param: writes text, JSON list of {tag_path, from, to, unit}
-- param: note text, the evidence with the note in it, a JSON object
-- param: evidence_before text, as it was when the note was put in
-- param: digest text, SHA-256 over the writes
-- param: write_count integer
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set proposed_writes = :writes, write_digest = :digest, write_count = :write_count, evidence = :note,
    completion_noted = true, updated_timestamp = current_timestamp(), write_key = :write_key
where recommendation_id = :recommendation_id and status = 'pending' and write_count = 0 and evidence = :evidence_before
