-- Changes announce themselves on the channel `bridge`. A hint only: whoever listens also polls, because a
-- database that scales to zero forgets who listened.
create function announce_change() returns trigger
language plpgsql as $$
begin
    case tg_table_name
    when 'agent_recommendations' then
        if tg_op = 'INSERT' or new.status <> old.status or new.write_digest <> old.write_digest then
            perform pg_notify('bridge', 'recommendation ' || new.status || ' ' || new.recommendation_id);
        end if;
    when 'agent_commands' then
        if tg_op = 'INSERT' or new.status <> old.status then
            perform pg_notify('bridge', 'command ' || new.status || ' ' || new.command_id || ' ' || new.route);
        end if;
    when 'bridge_control' then
        perform pg_notify('bridge', 'control ' || case when new.armed then 'armed' else 'disarmed' end || ' bridge');
    else
        perform pg_notify('bridge', 'reading external ' || new.equipment_id);
    end case;
    return null;
end
$$;

create trigger announce after insert or update on agent_recommendations
    for each row execute function announce_change();
create trigger announce after insert or update on agent_commands
    for each row execute function announce_change();
create trigger announce after update on bridge_control
    for each row execute function announce_change();
create trigger announce after insert on sensor_data
    for each row when (new.external_xid is not null) execute function announce_change();
