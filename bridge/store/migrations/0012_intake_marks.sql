-- Which batch of readings was stored last, by the source of batches that numbers them. A batch and its mark are
-- committed together, so one that comes again (a lost answer, a bridge killed before it could forget the batch)
-- is known to be there. Each start of a bridge, and each outage, begins a new origin; the agent removes those
-- of which nothing waits any more. Updated several times a second: the free space keeps the updates on one page.
create table intake_marks (
    origin text primary key,                                    -- buffer/run/lane of one bridge
    number bigint not null,                                     -- of the last batch stored
    moved_timestamp timestamptz not null default clock_timestamp()
) with (fillfactor = 10);

grant select, insert, update, delete on intake_marks to bridge_agent;
grant select on intake_marks to bridge_operator, bridge_reader;
