-- name: claim_commands
-- what: Claim pending commands whose tags are held for them, while armed; whoever changes the row has the command.
-- param: routes text[]
-- param: claimed_by text, the instance that claims
-- param: lease_s double precision
-- param: approval_valid_s double precision, unused here: the approval was looked at with the work
-- param: max_commands integer, unused here: which ones is said by their ids
-- param: command_ids text[]
-- param: write_key text, of this change
-- role: bridge_agent
update agent_commands
set status = 'executing', claimed_by = :claimed_by, claimed_timestamp = current_timestamp(),
    lease_expires_at = timestamp_micros(unix_micros(current_timestamp()) + cast(1000000 * :lease_s as bigint)),
    write_key = :write_key
where command_id in (:command_ids) and status = 'pending' and route in (:routes)
  and (select armed from bridge_control) and command_id in (select held_by from tag_limits)
