-- name: latest_for
-- what: The newest recommendation of one equipment and issue, with its age since the last change.
-- param: equipment_id text
-- param: issue_type text
-- role: bridge_agent, bridge_operator, bridge_reader
select recommendation_id, status, severity, proposed_writes, created_by_agent,
       cast(unix_micros(current_timestamp()) - unix_micros(updated_timestamp) as double) / 1000000 as changed_s_ago,
       created_timestamp
from agent_recommendations
where equipment_id = :equipment_id and issue_type = :issue_type
order by created_timestamp desc, recommendation_id desc
limit 1
