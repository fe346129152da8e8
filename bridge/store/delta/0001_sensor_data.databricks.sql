-- Readings, append-only. No partitions and no identity column: either would make writers of one table wait for, or
-- refuse, each other. Clustered by what is asked for.
create table if not exists sensor_data (
    sensor_id string,
    equipment_id string not null,
    temperature double comment '°C',
    pressure double comment 'bar',
    flow_rate double comment 'l/min',
    sensor_status string not null default 'active',
    `timestamp` timestamp not null default current_timestamp() comment 'when the source says the value arose',
    recorded_by string not null default current_user(),
    signals string comment 'any further signal: a JSON object of numbers and booleans',
    quality string not null default 'good',
    source_status string comment 'the word of the source for the quality',
    replayed boolean not null default false,
    received_timestamp timestamp not null default current_timestamp(),
    batch_origin string comment 'what numbered the batch this row came in; null for rows that others insert',
    batch_last bigint comment 'number of the last batch stored together with this row'
) using delta
cluster by (equipment_id, `timestamp`)
tblproperties (
    'delta.feature.allowColumnDefaults' = 'supported',
    'delta.enableDeletionVectors' = 'true'
)
