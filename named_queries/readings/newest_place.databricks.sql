-- name: newest_place
-- what: Where reading others' rows begins for an agent that has just started: with the rows of the last minute.
-- role: bridge_agent
select current_timestamp() - interval '1' minute as received_utc
