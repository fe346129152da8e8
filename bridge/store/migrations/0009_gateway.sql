-- The gateway reads its limits from the allow-list alone, so how long a read-back may take has to stand
-- there too. Like every limit it is published by the owner from bridge.toml.
alter table tag_limits
    add column settle_s double precision not null default 2 check (settle_s > 0 and settle_s < 'infinity');
