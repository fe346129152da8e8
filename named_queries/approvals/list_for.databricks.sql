-- name: list_for
-- what: Who approved which digest of these recommendations, in their order.
-- param: recommendation_ids text[]
-- role: bridge_agent, bridge_operator, bridge_reader
select recommendation_id, operator, digest, approved_timestamp
from approvals
where recommendation_id in (:recommendation_ids)
order by approved_timestamp, operator
