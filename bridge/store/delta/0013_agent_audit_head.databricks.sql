-- Where the chain ends: one row. It holds the newest entries whole, so that one conditional update of this row
-- appends them, and nobody can append to the same place; that they stand in agent_audit too may come a moment later.
create table if not exists agent_audit_head (
    head_id int not null,
    seq bigint not null,
    hash string not null,
    entries string not null,
    write_key string,
    primary key (head_id)
) using delta
tblproperties ('delta.enableDeletionVectors' = 'true')
