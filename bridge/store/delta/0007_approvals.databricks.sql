-- One row per person and digest. Without such a row no approval becomes a command, whatever the status says.
create table if not exists approvals (
    recommendation_id string not null,
    operator string not null,
    digest string not null,
    approved_timestamp timestamp not null default current_timestamp(),
    comment string,
    primary key (recommendation_id, digest, operator),
    foreign key (recommendation_id) references agent_recommendations
) using delta
cluster by (recommendation_id)
tblproperties ('delta.feature.allowColumnDefaults' = 'supported', 'delta.enableDeletionVectors' = 'true')
