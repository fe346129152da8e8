-- A closed list; what is not in it is refused by the table itself.
alter table sensor_data add constraint quality_is_known check (
    quality in ('good', 'uncertain', 'bad')
)
