-- name: advance_mark
-- what: Say that the batches up to a number of one origin are stored, in the transaction that stores them; no row when one of them was stored before.
-- param: origin text
-- param: first bigint, number of the first batch
-- param: last bigint, number of the last batch
-- role: bridge_agent
insert into intake_marks (origin, number) values (:origin, :last)
on conflict (origin) do update set number = excluded.number, moved_timestamp = excluded.moved_timestamp
where intake_marks.number < :first
returning number
