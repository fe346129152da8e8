-- name: start_executing
-- what: Turn freshly approved writes into commands and mark their recommendations executing, while armed.
-- param: approval_valid_s double precision, seconds an approval may wait
-- param: max_recommendations integer
-- param: agent_id text
-- role: bridge_agent
with oldest as (
    -- Looked at closely are only some more than are wanted, so that a long queue costs no more than a short one.
    select recommendation_id, equipment_id, proposed_writes
    from agent_recommendations
    where status = 'approved' and jsonb_array_length(proposed_writes) > 0
      and approved_timestamp > clock_timestamp() - make_interval(secs => cast(:approval_valid_s as double precision))
      and (select armed from bridge_control)
    order by approved_timestamp
    limit greatest(200, 4 * cast(:max_recommendations as integer))
),
ready as (
    select r.recommendation_id
    from oldest join agent_recommendations r on r.recommendation_id = oldest.recommendation_id
    where r.status = 'approved'
      and not exists (
          select from jsonb_array_elements(oldest.proposed_writes) as entry
          join agent_commands c on c.tag_path = entry.value ->> 'tag_path' and c.status in ('pending', 'executing', 'unknown')
      )
      -- One approval that no limit allows any more must not hold up the others of this statement.
      and writes_refusal(oldest.proposed_writes, oldest.equipment_id) is null
    limit cast(:max_recommendations as integer)
    for update of r skip locked
),
moved as (
    update agent_recommendations r
    set status = 'executing'
    from ready -- locked there while approved
    where r.recommendation_id = ready.recommendation_id
    returning r.recommendation_id, r.equipment_id, r.proposed_writes
)
insert into agent_commands (recommendation_id, equipment_id, tag_path, new_value, route, sequence, created_by_agent)
select moved.recommendation_id, moved.equipment_id, entry.value ->> 'tag_path', setpoint_number(entry.value -> 'to'),
       coalesce((select route from tag_limits where tag_path = entry.value ->> 'tag_path'), 'opcua'),
       entry.ordinality, :agent_id
from moved cross join lateral jsonb_array_elements(moved.proposed_writes) with ordinality as entry
returning command_id
