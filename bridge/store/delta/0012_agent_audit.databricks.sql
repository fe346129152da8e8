-- The audit trail, hash-chained by the bridge. Delta refuses neither UPDATE nor DELETE here: the chain shows that
-- something was changed, and delta.appendOnly has the table refuse it to whoever may not alter the table.
create table if not exists agent_audit (
    seq bigint not null,
    at timestamp not null,
    actor string not null,
    db_role string not null,
    action string not null,
    object_type string not null,
    object_id string not null,
    recommendation_id string,
    old_status string,
    new_status string,
    detail string not null,
    prev_hash string not null,
    hash string not null,
    primary key (seq)
) using delta
cluster by (recommendation_id)
tblproperties ('delta.appendOnly' = 'true')
