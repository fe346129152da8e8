-- name: complete
-- what: Give a pending recommendation that others wrote in prose its exact writes; nothing else of it changes.
-- param: recommendation_id text
-- param: writes text, JSON list of {tag_path, from, to, unit}
-- param: note text, JSON object merged into the evidence
-- role: bridge_agent
update agent_recommendations
set proposed_writes = cast(:writes as jsonb),
    evidence = case jsonb_typeof(evidence) when 'object' then evidence else jsonb_build_object('given', evidence) end
        || cast(:note as jsonb)
where recommendation_id = :recommendation_id and status = 'pending' and jsonb_array_length(proposed_writes) = 0
returning recommendation_id, write_digest
