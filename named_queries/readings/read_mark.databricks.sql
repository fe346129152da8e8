-- name: read_mark
-- what: The number of the last batch of one origin that was stored; null when none was.
-- param: origin text
-- role: bridge_agent
select max(batch_last) as number
from sensor_data
where batch_origin = :origin
