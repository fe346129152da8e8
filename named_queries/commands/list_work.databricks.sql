-- name: list_work
-- what: What there is to do for whoever executes: approvals to start, commands to make, commands to claim in their order.
-- param: routes text[]
-- param: approval_valid_s double precision, seconds an approval may wait
-- param: max_rows integer
-- role: bridge_agent
select kind, id, tag_path, held_by, held
from (
    select 'approved' as kind, r.recommendation_id as id, '' as tag_path, '' as held_by, false as held,
           r.approved_timestamp as since, 0 as place, 3 as turn
    from agent_recommendations as r
    cross join bridge_control as b
    where r.status = 'approved' and r.write_count > 0 and b.armed
      and r.approved_timestamp > timestamp_micros(unix_micros(current_timestamp()) - cast(1000000 * :approval_valid_s as bigint))
    union all
    select 'unmade' as kind, r.recommendation_id as id, '' as tag_path, '' as held_by, false as held,
           r.approved_timestamp as since, 0 as place, 2 as turn
    from agent_recommendations as r
    left join (
        select recommendation_id, count(*) as made from agent_commands group by recommendation_id
    ) as c on c.recommendation_id = r.recommendation_id
    where r.status = 'executing' and r.write_count > coalesce(c.made, 0)
      -- Whoever made it executing is about to make them; only a bridge that died leaves them unmade for so long.
      and r.updated_timestamp < current_timestamp() - interval '30' second
      and r.approved_timestamp > timestamp_micros(unix_micros(current_timestamp()) - cast(1000000 * :approval_valid_s as bigint))
    union all
    select 'command' as kind, c.command_id as id, c.tag_path, t.held_by, h.command_id is not null as held,
           c.created_timestamp as since, c.sequence as place, 1 as turn
    from agent_commands as c
    join agent_recommendations as r on r.recommendation_id = c.recommendation_id
    join tag_limits as t on t.tag_path = c.tag_path
    cross join bridge_control as b
    left join agent_commands as h on h.command_id = t.held_by and h.status in ('pending', 'executing', 'unknown')
    where c.status = 'pending' and c.route in (:routes) and b.armed and r.status = 'executing'
      and r.approved_timestamp > timestamp_micros(unix_micros(current_timestamp()) - cast(1000000 * :approval_valid_s as bigint))
      and not exists (
          select 1 from agent_commands as e
          where e.recommendation_id = c.recommendation_id and e.sequence < c.sequence and e.status <> 'executed'
      )
      and not exists (
          select 1 from agent_commands as o
          where o.tag_path = c.tag_path and o.command_id <> c.command_id and o.status in ('executing', 'unknown')
      )
) as work
order by turn, since, id, place
limit :max_rows
