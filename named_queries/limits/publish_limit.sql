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
insert into tag_limits (tag_path, equipment_id, route, data_type, unit, low, high, max_step, min_interval_s,
                        max_writes_per_hour, max_age_s, tolerance, settle_s)
values (:tag_path, :equipment_id, :route, :data_type, :unit, :low, :high, :max_step, :min_interval_s,
        :max_writes_per_hour, :max_age_s, :tolerance, :settle_s)
on conflict (tag_path) do update
set equipment_id = excluded.equipment_id, route = excluded.route, data_type = excluded.data_type, unit = excluded.unit,
    low = excluded.low, high = excluded.high, max_step = excluded.max_step, min_interval_s = excluded.min_interval_s,
    max_writes_per_hour = excluded.max_writes_per_hour, max_age_s = excluded.max_age_s, tolerance = excluded.tolerance, settle_s = excluded.settle_s,
    published_by = current_user, published_timestamp = now()
where (tag_limits.equipment_id, tag_limits.route, tag_limits.data_type, tag_limits.unit, tag_limits.low, tag_limits.high,
       tag_limits.max_step, tag_limits.min_interval_s, tag_limits.max_writes_per_hour, tag_limits.max_age_s, tag_limits.tolerance, tag_limits.settle_s)
    is distinct from
      (excluded.equipment_id, excluded.route, excluded.data_type, excluded.unit, excluded.low, excluded.high,
       excluded.max_step, excluded.min_interval_s, excluded.max_writes_per_hour, excluded.max_age_s, excluded.tolerance, excluded.settle_s)
