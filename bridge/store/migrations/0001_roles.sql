-- The three parties of the route. They cannot log in by themselves: a login of the customer's is made a
-- member of one of them, and what the party may do hangs on the role, not on the program that connects.
-- Roles belong to the whole server, so they may exist already from another database.
do $$
declare
    party text;
begin
    foreach party in array array['bridge_agent', 'bridge_operator', 'bridge_reader'] loop
        if not exists (select from pg_roles where rolname = party) then
            begin
                execute format('create role %I nologin', party);
            exception
                when duplicate_object or unique_violation then null; -- another database was migrated in this very moment
                when insufficient_privilege then
                    raise exception 'role % does not exist and this login may not create it', party
                        using errcode = '42501',
                              hint = format('let an administrator run: create role %I nologin', party);
            end;
        end if;
    end loop;
end
$$;
