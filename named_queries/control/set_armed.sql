-- name: set_armed
-- what: Arm or disarm all writes, with a reason; no row back means it already was so.
-- param: armed boolean
-- param: operator text
-- param: reason text
-- role: bridge_operator
update bridge_control
set armed = cast(:armed as boolean), changed_by = :operator, reason = :reason
where armed <> cast(:armed as boolean)
returning armed
