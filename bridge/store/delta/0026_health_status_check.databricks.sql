-- A closed list.
alter table agent_health add constraint health_status_is_known check (
    status in ('online', 'offline')
)
