-- As many people as ever have to agree.
alter table agent_recommendations add constraint approvals_required_is_few check (
    approvals_required between 1 and 5
)
