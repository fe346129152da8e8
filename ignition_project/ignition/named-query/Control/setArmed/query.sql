update bridge_control
set armed = cast(:armed as boolean), changed_by = :operator, reason = :reason
where armed <> cast(:armed as boolean)
returning armed
