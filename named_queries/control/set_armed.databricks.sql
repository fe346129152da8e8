-- name: set_armed
-- what: Arm or disarm all writes, with a reason; no row affected means it already was so.
-- param: armed boolean
-- param: operator text
-- param: reason text
-- param: write_key text, of this change
-- role: bridge_operator
update bridge_control
set armed = :armed, changed_by = :operator, reason = :reason, changed_timestamp = current_timestamp(), write_key = :write_key
where armed <> :armed
