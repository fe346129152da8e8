-- What people have to do by hand. The bridge makes the id from the recommendation, so that there is one for each.
create table if not exists work_orders (
    work_order_id string not null,
    recommendation_id string,
    equipment_id string not null,
    description string not null,
    status string not null default 'open',
    assigned_to string,
    created_timestamp timestamp not null default current_timestamp(),
    completed_timestamp timestamp,
    priority string not null default 'medium',
    primary key (work_order_id),
    foreign key (recommendation_id) references agent_recommendations
) using delta
cluster by (recommendation_id)
tblproperties ('delta.feature.allowColumnDefaults' = 'supported', 'delta.enableDeletionVectors' = 'true')
