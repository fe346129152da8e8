-- What has left is never given back, and never called off.
alter table agent_commands add constraint released_was_never_sent check (
    status not in ('pending', 'cancelled') or sent_timestamp is null
)
