select tag_path, equipment_id, route, data_type, unit, low, high, max_step, min_interval_s, max_writes_per_hour,
       max_age_s, tolerance, settle_s, published_by, published_timestamp
from tag_limits
order by tag_path
