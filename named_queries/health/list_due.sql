-- name: list_due
-- what: What has to be looked after now; one look instead of many statements that find nothing.
-- param: agent_id text
-- role: bridge_agent
select exists (select from agent_commands where status = 'executing' and sent_timestamp is null
               and lease_expires_at <= clock_timestamp()) as release,
       exists (select from agent_commands where status = 'pending') as cancel,
       exists (select from agent_commands where status = 'unknown' or (status = 'executing' and sent_timestamp is not null
               and lease_expires_at <= clock_timestamp())) as settle,
       exists (select from agent_recommendations where status = 'executing') as finish,
       exists (select from agent_recommendations where status = 'approved') as approved,
       exists (select from agent_recommendations where status = 'pending' and expires_at <= clock_timestamp()) as expire,
       exists (select from agent_recommendations where status = 'deferred' and defer_until <= clock_timestamp()) as wake,
       exists (select from agent_recommendations where status = 'pending' and jsonb_array_length(proposed_writes) = 0
               and created_by_agent <> :agent_id and not evidence ? 'completion') as complete
