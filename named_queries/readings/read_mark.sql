-- name: read_mark
-- what: The number of the last batch of one origin that was stored; no row when none was.
-- param: origin text
-- role: bridge_agent
select number from intake_marks where origin = :origin
