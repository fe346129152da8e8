-- A command counts as executed only when it was sent and read back.
alter table agent_commands add constraint executed_was_sent_and_read_back check (
    status <> 'executed' or (sent_timestamp is not null and read_back_value is not null)
)
