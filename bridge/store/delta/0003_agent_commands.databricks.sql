-- The id of a command is made of its recommendation and its place, so that making it twice makes it once.
create table if not exists agent_commands (
    command_id string not null,
    recommendation_id string not null,
    equipment_id string not null,
    tag_path string not null,
    new_value double not null comment 'Boolean as 0 or 1',
    action_description string,
    severity string,
    status string not null default 'pending',
    created_timestamp timestamp not null default current_timestamp(),
    created_by_agent string not null default current_user(),
    executed_timestamp timestamp,
    execution_result string,
    sequence int not null comment 'place among the writes of the recommendation, from 1',
    expected_value double comment 'what the tag showed when the write was approved',
    unit string not null default '',
    route string not null,
    claimed_by string,
    claimed_timestamp timestamp,
    lease_expires_at timestamp,
    sent_timestamp timestamp comment 'the intent: written before the bytes leave',
    verified_timestamp timestamp,
    read_back_value double,
    result_code string,
    settled_by string,
    write_key string,
    primary key (command_id),
    foreign key (recommendation_id) references agent_recommendations
) using delta
cluster by (status, tag_path)
tblproperties (
    'delta.feature.allowColumnDefaults' = 'supported',
    'delta.enableDeletionVectors' = 'true',
    'delta.isolationLevel' = 'Serializable'
)
