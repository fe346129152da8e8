select recommendation_id, status, severity, cast(proposed_writes as text) as proposed_writes, created_by_agent,
       extract(epoch from clock_timestamp() - updated_timestamp) as changed_s_ago, created_timestamp
from agent_recommendations
where equipment_id = :equipment_id and issue_type = :issue_type
order by created_timestamp desc, recommendation_id desc
limit 1
