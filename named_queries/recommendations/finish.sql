-- name: finish
-- what: Give executing recommendations their outcome once none of their commands is on its way any more.
-- param: recommendation_ids text[], null for all
-- role: bridge_agent
update agent_recommendations r
set status = case when outcome.executed = outcome.total then 'executed' else 'failed' end,
    execution_result = outcome.result
from (
    select recommendation_id, count(*) as total, count(*) filter (where status = 'executed') as executed,
           count(*) filter (where status in ('pending', 'executing')) as live,
           string_agg(tag_path || ': ' || status || coalesce(' (' || execution_result || ')', ''), '; ' order by sequence) as result
    from agent_commands
    where recommendation_id in (
        select recommendation_id from agent_recommendations
        where status = 'executing'
          and (cast(:recommendation_ids as text[]) is null or recommendation_id = any(cast(:recommendation_ids as text[])))
    )
    group by recommendation_id
) outcome
where r.recommendation_id = outcome.recommendation_id and r.status = 'executing' and outcome.live = 0
returning r.recommendation_id, r.status
