-- name: list_open_for
-- what: The recommendations that hold the one place of an equipment and issue; more than one only when two were proposed in one moment.
-- param: equipment_id text
-- param: issue_type text
-- role: bridge_agent, bridge_operator, bridge_reader
select recommendation_id
from agent_recommendations
where equipment_id = :equipment_id and issue_type = :issue_type
  and status in ('pending', 'deferred', 'approved', 'executing')
