with mine as (
    update operator_sessions
    set looking_at = nullif(cast(:recommendation_id as text), ''), looked_at_timestamp = clock_timestamp()
    where session_id = :session_id and status = 'active'
    returning operator_id, looking_at
)
select min(other.operator_id) as operator_id,
       cast(extract(epoch from clock_timestamp() - max(other.looked_at_timestamp)) as double precision) as since_s
from mine
join operator_sessions other on other.looking_at = mine.looking_at and other.status = 'active'
where other.looked_at_timestamp > clock_timestamp() - interval '15 seconds'
  and lower(person(other.operator_id)) <> lower(person(mine.operator_id))
group by lower(person(other.operator_id))
order by 1
limit 500
