-- One row per agent, with its last sign of life.
create table if not exists agent_health (
    agent_id string not null,
    last_heartbeat timestamp not null default current_timestamp(),
    status string not null default 'online',
    polls_completed bigint not null default 0,
    created_timestamp timestamp not null default current_timestamp(),
    site string not null default '',
    version string not null default '',
    cycle_ms double,
    detail string not null default '{}' comment 'a JSON object',
    primary key (agent_id)
) using delta
cluster by (agent_id)
tblproperties ('delta.feature.allowColumnDefaults' = 'supported', 'delta.enableDeletionVectors' = 'true')
