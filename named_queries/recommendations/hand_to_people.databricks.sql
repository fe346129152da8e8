-- name: hand_to_people
-- what: Mark approved recommendations without exact writes executing; a work order for each follows.
-- param: max_recommendations integer, unused here: which ones is said by their ids
-- param: recommendation_ids text[]
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set status = 'executing', updated_timestamp = current_timestamp(), write_key = :write_key
where recommendation_id in (:recommendation_ids) and status = 'approved' and write_count = 0
