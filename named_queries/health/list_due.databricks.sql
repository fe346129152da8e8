-- name: list_due
-- what: What has to be looked after now; one look instead of many statements that find nothing.
-- param: agent_id text
-- role: bridge_agent
select coalesce(c.release, false) as release, coalesce(c.cancel, false) as cancel, coalesce(c.settle, false) as settle,
       coalesce(r.finish, false) as finish, coalesce(r.approved, false) as approved, coalesce(r.expire, false) as expire,
       coalesce(r.wake, false) as wake, coalesce(r.complete, false) as complete
from (
    select bool_or(status = 'executing' and sent_timestamp is null and lease_expires_at <= current_timestamp()) as release,
           bool_or(status = 'pending') as cancel,
           bool_or(status = 'unknown' or (status = 'executing' and sent_timestamp is not null
                                          and lease_expires_at <= current_timestamp())) as settle
    from agent_commands
    where status in ('pending', 'executing', 'unknown')
) as c
cross join (
    select bool_or(status = 'executing') as finish, bool_or(status = 'approved') as approved,
           bool_or(status = 'pending' and expires_at <= current_timestamp()) as expire,
           bool_or(status = 'deferred' and defer_until <= current_timestamp()) as wake,
           bool_or(status = 'pending' and write_count = 0 and created_by_agent <> :agent_id and not completion_noted)
               as complete
    from agent_recommendations
    where status in ('pending', 'deferred', 'approved', 'executing')
) as r
