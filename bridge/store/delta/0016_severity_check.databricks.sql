-- A closed list.
alter table agent_recommendations add constraint severity_is_known check (
    severity in ('low', 'medium', 'high', 'critical')
)
