-- name: list_claimed
-- what: The commands that one claim got, with everything needed to check them again before they leave.
-- param: write_key text, of the claim
-- param: claimed_by text
-- role: bridge_agent
select c.command_id, c.recommendation_id, c.equipment_id, c.tag_path, c.sequence, c.expected_value, c.new_value, c.unit,
       c.claimed_by, c.sent_timestamp as sent_utc,
       cast(unix_micros(c.lease_expires_at) - unix_micros(current_timestamp()) as double) / 1000000 as lease_left_s,
       r.proposed_writes as proposed_writes_text, coalesce(a.digest, '') as approved_digest,
       cast(unix_micros(current_timestamp()) - unix_micros(p.last_sent) as double) / 1000000 as since_last_write_s,
       coalesce(p.sent_last_hour, 0) as writes_last_hour
from agent_commands as c
join agent_recommendations as r on r.recommendation_id = c.recommendation_id
left join (
    select recommendation_id, digest from approvals group by recommendation_id, digest
) as a on a.recommendation_id = r.recommendation_id and a.digest = r.write_digest
left join (
    select tag_path, max(sent_timestamp) as last_sent,
           sum(case when sent_timestamp > current_timestamp() - interval '1' hour then 1 else 0 end) as sent_last_hour
    from agent_commands
    where sent_timestamp is not null
    group by tag_path
) as p on p.tag_path = c.tag_path
where c.write_key = :write_key and c.claimed_by = :claimed_by and c.status = 'executing'
order by c.created_timestamp, c.recommendation_id, c.sequence
