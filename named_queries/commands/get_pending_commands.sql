-- name: get_pending_commands
-- what: While armed and the approval is valid, claim for the gateway what is routed to it, in order, with all it needs to check.
-- param: claimed_by text, this very pass of the gateway's timer
-- param: lease_s double precision
-- param: approval_valid_s double precision, seconds an approval may wait
-- param: max_commands integer
-- role: bridge_operator
with next as (
    select command_id
    from agent_commands c
    where status = 'pending' and route = 'gateway' and (select armed from bridge_control)
      and not exists (
          select from agent_commands earlier
          where earlier.recommendation_id = c.recommendation_id and earlier.sequence < c.sequence
            and earlier.status <> 'executed'
      )
      and exists (
          select from agent_recommendations approved
          where approved.recommendation_id = c.recommendation_id and approved.approved_timestamp
                > clock_timestamp() - make_interval(secs => cast(:approval_valid_s as double precision))
      )
    order by created_timestamp, command_id
    limit cast(:max_commands as integer)
    for update skip locked
),
claimed as (
    update agent_commands c
    set status = 'executing', claimed_by = :claimed_by,
        lease_expires_at = clock_timestamp() + make_interval(secs => cast(:lease_s as double precision))
    from next
    where c.command_id = next.command_id and c.status = 'pending' and c.route = 'gateway'
    returning c.command_id, c.recommendation_id, c.equipment_id, c.tag_path, c.sequence, c.expected_value, c.new_value,
              c.unit, c.route, c.lease_expires_at, c.created_timestamp
)
select claimed.command_id, claimed.recommendation_id, claimed.equipment_id, claimed.tag_path, claimed.sequence,
       claimed.expected_value, claimed.new_value, claimed.unit,
       cast(extract(epoch from claimed.lease_expires_at - clock_timestamp()) as double precision) as lease_left_s,
       cast(r.proposed_writes as text) as proposed_writes_text,
       coalesce((select digest from approvals a where a.recommendation_id = r.recommendation_id
                 order by approved_timestamp desc limit 1), '') as approved_digest,
       (select cast(extract(epoch from clock_timestamp() - max(past.sent_timestamp)) as double precision)
        from agent_commands past
        where past.tag_path = claimed.tag_path and past.sent_timestamp is not null) as since_last_write_s,
       (select cast(count(*) as integer) from agent_commands past where past.tag_path = claimed.tag_path
        and past.sent_timestamp > clock_timestamp() - interval '1 hour') as writes_last_hour,
       listed.route as limits_route, listed.data_type, listed.unit as limits_unit, listed.low, listed.high, listed.max_step,
       listed.min_interval_s, listed.max_writes_per_hour, listed.max_age_s, listed.tolerance, listed.settle_s
from claimed
join agent_recommendations r on r.recommendation_id = claimed.recommendation_id
left join tag_limits listed on listed.tag_path = claimed.tag_path
order by claimed.created_timestamp, claimed.command_id
