-- Who is at an HMI or at the command line, and what that login may do.
create table if not exists operator_sessions (
    session_id string not null,
    operator_id string not null,
    login_timestamp timestamp not null default current_timestamp(),
    logout_timestamp timestamp,
    status string not null default 'active',
    approved_recommendations int not null default 0,
    rejected_recommendations int not null default 0,
    may_decide boolean,
    may_arm boolean,
    looking_at string,
    looked_at_timestamp timestamp,
    write_key string,
    primary key (session_id)
) using delta
cluster by (status)
tblproperties ('delta.feature.allowColumnDefaults' = 'supported', 'delta.enableDeletionVectors' = 'true')
