-- The states of bridge/domain/lifecycle.py. Which arrows lead from one to the next is not for a CHECK to say.
alter table agent_recommendations add constraint recommendation_status_is_known check (
    status in ('pending', 'approved', 'deferred', 'rejected', 'executing', 'executed', 'failed', 'expired', 'superseded')
)
