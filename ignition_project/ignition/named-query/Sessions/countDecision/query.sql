update operator_sessions
set approved_recommendations = approved_recommendations + case when cast(:decision as text) = 'approved' then 1 else 0 end,
    rejected_recommendations = rejected_recommendations + case when cast(:decision as text) = 'rejected' then 1 else 0 end
where session_id = :session_id and status = 'active' and cast(:decision as text) in ('approved', 'rejected')
returning session_id, approved_recommendations, rejected_recommendations
