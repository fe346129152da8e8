select session_id, operator_id, may_decide, login_timestamp,
       cast(extract(epoch from clock_timestamp() - login_timestamp) as double precision) as login_ago_s,
       case when looked_at_timestamp > clock_timestamp() - interval '15 seconds' then looking_at end as looking_at,
       cast(extract(epoch from clock_timestamp() - looked_at_timestamp) as double precision) as looked_ago_s,
       approved_recommendations, rejected_recommendations
from operator_sessions
where status = 'active'
order by login_timestamp desc, session_id
limit least(cast(:max_rows as integer), 500)
