-- The states of bridge/domain/lifecycle.py.
alter table agent_commands add constraint command_status_is_known check (
    status in ('pending', 'executing', 'executed', 'failed', 'unknown', 'cancelled')
)
