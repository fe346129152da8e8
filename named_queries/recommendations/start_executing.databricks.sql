-- name: start_executing
-- what: Mark freshly approved recommendations executing, while armed; whoever changes the row makes its commands.
-- param: approval_valid_s double precision, seconds an approval may wait
-- param: max_recommendations integer, unused here: which ones is said by their ids
-- param: agent_id text, unused here: the commands are made by a statement of their own
-- param: recommendation_ids text[]
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set status = 'executing', updated_timestamp = current_timestamp(), write_key = :write_key
where recommendation_id in (:recommendation_ids) and status = 'approved'
  and approved_timestamp > timestamp_micros(unix_micros(current_timestamp()) - cast(1000000 * :approval_valid_s as bigint))
  and (select armed from bridge_control)
