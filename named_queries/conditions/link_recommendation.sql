-- name: link_recommendation
-- what: Remember which recommendation answers an active condition.
-- param: equipment_id text
-- param: issue_type text
-- param: recommendation_id text
-- role: bridge_agent
update equipment_conditions
set recommendation_id = :recommendation_id
where equipment_id = :equipment_id and issue_type = :issue_type and cleared_timestamp is null
