-- 0 to 1.
alter table agent_recommendations add constraint confidence_is_a_share check (
    confidence_score is null or confidence_score between 0 and 1
)
