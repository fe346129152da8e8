-- name: publish_limit
-- what: Put one writable tag with its limits on the allow-list, or change it.
-- param: tag_path text
-- param: equipment_id text
-- param: route text
-- param: data_type text
-- param: unit text
-- param: low double precision
-- param: high double precision
-- param: max_step double precision, may be null
-- param: min_interval_s double precision
-- param: max_writes_per_hour integer
-- param: max_age_s double precision
-- param: tolerance double precision
-- param: settle_s double precision
-- role: owner
merge into tag_limits as t
using (select cast(:tag_path as string) as tag_path) as n
on t.tag_path = n.tag_path
when matched then update set
    equipment_id = :equipment_id, route = :route, data_type = :data_type, unit = :unit, low = :low, high = :high,
    max_step = cast(:max_step as double), min_interval_s = :min_interval_s, max_writes_per_hour = :max_writes_per_hour,
    max_age_s = :max_age_s, tolerance = :tolerance, settle_s = :settle_s, published_by = current_user(),
    published_timestamp = current_timestamp()
when not matched then insert (
    tag_path, equipment_id, route, data_type, unit, low, high, max_step, min_interval_s, max_writes_per_hour,
    max_age_s, tolerance, settle_s, published_by, published_timestamp, held_by
)
values (
    n.tag_path, :equipment_id, :route, :data_type, :unit, :low, :high, cast(:max_step as double), :min_interval_s,
    :max_writes_per_hour, :max_age_s, :tolerance, :settle_s, current_user(), current_timestamp(), ''
)
