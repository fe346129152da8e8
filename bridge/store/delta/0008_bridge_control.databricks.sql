-- The arming switch: one row.
create table if not exists bridge_control (
    control_id int not null,
    armed boolean not null,
    changed_by string not null,
    reason string not null,
    changed_timestamp timestamp not null,
    write_key string,
    primary key (control_id)
) using delta
tblproperties ('delta.enableDeletionVectors' = 'true')
