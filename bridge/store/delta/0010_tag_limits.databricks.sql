-- The allow-list of bridge.toml, published by the owner. `held_by` is the command that holds the tag: as Delta keeps no
-- index that would refuse a second live command, whoever claims one takes the tag first, by changing this very row.
create table if not exists tag_limits (
    tag_path string not null,
    equipment_id string not null,
    route string not null,
    data_type string not null,
    unit string not null,
    low double not null,
    high double not null,
    max_step double,
    min_interval_s double not null,
    max_writes_per_hour int not null,
    max_age_s double not null,
    tolerance double not null,
    settle_s double not null,
    published_by string not null,
    published_timestamp timestamp not null,
    held_by string not null,
    primary key (tag_path)
) using delta
cluster by (tag_path)
tblproperties ('delta.enableDeletionVectors' = 'true')
