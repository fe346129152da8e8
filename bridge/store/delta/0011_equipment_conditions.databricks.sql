-- One row per episode: a condition keeps one identity from its first moment to its end.
create table if not exists equipment_conditions (
    condition_id string not null,
    equipment_id string not null,
    issue_type string not null,
    severity string not null,
    since_timestamp timestamp not null,
    cleared_timestamp timestamp,
    recommendation_id string,
    primary key (condition_id)
) using delta
cluster by (equipment_id, issue_type)
tblproperties ('delta.enableDeletionVectors' = 'true', 'delta.isolationLevel' = 'Serializable')
