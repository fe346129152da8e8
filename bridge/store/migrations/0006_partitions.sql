-- Readings live in one partition per UTC day. The agent asks for tomorrow's and for what may go, and the
-- owner's rights do it: the agent itself owns no table and can remove no reading.
create function prepare_sensor_days(days_ahead integer) returns integer
language plpgsql security definer set search_path from current as $$
declare
    day date;
    made integer := 0;
begin
    for day in select generate_series((now() at time zone 'UTC')::date, (now() at time zone 'UTC')::date + least(days_ahead, 14), interval '1 day')::date loop
        if to_regclass(format('sensor_data_%s', to_char(day, 'YYYYMMDD'))) is null then
            begin
                execute format('create table %I partition of sensor_data for values from (%L) to (%L)',
                    'sensor_data_' || to_char(day, 'YYYYMMDD'),
                    day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
                made := made + 1;
            exception
                when duplicate_table then null; -- another bridge was faster
                when check_violation then null; -- readings dated that day already lie in the default partition
            end;
        end if;
    end loop;
    return made;
end
$$;

create function drop_sensor_days(older_than_days integer) returns integer
language plpgsql security definer set search_path from current as $$
declare
    partition text;
    dropped integer := 0;
begin
    if older_than_days < 1 then
        perform refuse('out_of_range', format('retention wants at least 1 day, found %s', older_than_days));
    end if;
    for partition in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'sensor_data'::regclass and c.relname ~ '^sensor_data_\d{8}$'
          and to_date(right(c.relname, 8), 'YYYYMMDD') < (now() at time zone 'UTC')::date - older_than_days
    loop
        execute format('drop table %I', partition);
        dropped := dropped + 1;
    end loop;
    delete from sensor_data_other_days where timestamp < now() - make_interval(days => older_than_days)
        and received_timestamp < now() - make_interval(days => older_than_days);
    return dropped;
end
$$;
revoke all on function prepare_sensor_days, drop_sensor_days from public;

select prepare_sensor_days(2);
