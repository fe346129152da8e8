-- name: give_way
-- what: Withdraw a proposal that was made in the same moment as another for the same equipment and issue.
-- param: recommendation_id text
-- param: reason text
-- param: write_key text, of this change
-- role: bridge_agent
update agent_recommendations
set status = 'superseded', execution_result = :reason, updated_timestamp = current_timestamp(), write_key = :write_key
where recommendation_id = :recommendation_id and status = 'pending'
