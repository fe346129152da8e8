select c.command_id, c.recommendation_id, c.equipment_id, c.tag_path, c.sequence, c.expected_value, c.new_value, c.unit,
       c.status, c.claimed_by, c.sent_timestamp is not null as sent,
       cast(extract(epoch from clock_timestamp() - c.sent_timestamp) as double precision) as sent_s_ago,
       listed.data_type, listed.tolerance
from agent_commands c
left join tag_limits listed on listed.tag_path = c.tag_path
where c.route = 'gateway'
  and ((c.status = 'executing' and c.lease_expires_at <= clock_timestamp()) or c.status = 'unknown')
  and (c.sent_timestamp is null
       or c.sent_timestamp <= clock_timestamp() - make_interval(secs => cast(:patience_s as double precision)))
order by c.sent_timestamp, c.command_id
limit 500
