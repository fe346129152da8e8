-- A range.
alter table tag_limits add constraint high_is_above_low check (
    high > low
)
