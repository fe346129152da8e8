-- What a row can show of an approval by itself: a name and a moment.
alter table agent_recommendations add constraint approved_names_a_person check (
    status <> 'approved' or (approved_by_operator is not null and trim(approved_by_operator) <> '' and approved_timestamp is not null)
)
