-- For the administrator of a Lakebase database (the project's owner, or a member of databricks_superuser): roles and
-- rights that the bridge needs and cannot give itself. Run it once in the database of the agent's tables, before
-- `ignition-bridge db migrate`; running it again does no harm. `ignition-bridge db grants` prints it with the names
-- put in; with psql, set them by -v: owner, agent, operator, reader, schema (a name left empty is left out).
--
--   owner     migrates and publishes limits; owns the tables           agent     the bridge: proposes and executes
--   operator  decides: Ignition's connection, or people                reader    dashboards, Genie
--
-- One identity for owner and agent works, and then only its own discipline keeps the agent within its role. The
-- operator's should always be another one: who proposes must not approve. A login that is a member of
-- databricks_superuser may write every table, whatever stands below.

select set_config('bridge.owner', :'owner', false),
       set_config('bridge.agent', :'agent', false),
       set_config('bridge.operator', :'operator', false),
       set_config('bridge.reader', :'reader', false),
       set_config('bridge.schema', :'schema', false);

-- The three parties. Nobody can log in as one of them; rights hang on them, and logins are made their members.
do $$
declare
    party text;
begin
    foreach party in array array['bridge_agent', 'bridge_operator', 'bridge_reader'] loop
        if not exists (select from pg_roles where rolname = party) then
            execute format('create role %I nologin', party);
        end if;
    end loop;
end
$$;

-- Logins. On Lakebase an identity of the workspace (a person's name, or a service principal's application id) gets its
-- role from databricks_create_role; a role of plain `create role` could never log in with a credential. A native role
-- with a password is made beforehand: create role … login password '…'.
do $$
declare
    login text;
    made boolean := exists (select from pg_extension where extname = 'databricks_auth');
    on_lakebase boolean := made or exists (select from pg_available_extensions where name = 'databricks_auth');
begin
    if on_lakebase and not made then
        create extension databricks_auth;
    end if;
    foreach login in array array[current_setting('bridge.owner'), current_setting('bridge.agent'),
                                 current_setting('bridge.operator'), current_setting('bridge.reader')] loop
        if login <> '' and not exists (select from pg_roles where rolname = login) then
            if not on_lakebase then
                raise exception 'role % does not exist; make it first: create role % login password ''…''',
                    login, quote_ident(login);
            end if;
            execute format('select databricks_create_role(%L, %L)', login,
                case when login like '%@%' then 'USER' else 'SERVICE_PRINCIPAL' end);
        end if;
    end loop;
end
$$;

-- The owner makes the schema itself, and needs no other right of the database. After the first migration this one can
-- be taken back: revoke create on database … from …
do $$
begin
    if current_setting('bridge.owner') <> '' then
        execute format('grant connect, create on database %I to %I', current_database(), current_setting('bridge.owner'));
    end if;
end
$$;

-- Who acts for whom, and where each finds the tables without naming the schema. A search path that may not be set here
-- (Lakebase guards the roles of identities) costs nothing but that: name the schema, or set it in the connection.
do $$
declare
    login text;
    party text;
begin
    for login, party in
        select entry.login, entry.party
        from (values (current_setting('bridge.agent'), 'bridge_agent'),
                     (current_setting('bridge.operator'), 'bridge_operator'),
                     (current_setting('bridge.reader'), 'bridge_reader')) as entry (login, party)
        where entry.login <> ''
    loop
        execute format('grant %I to %I', party, login);
        execute format('grant connect on database %I to %I', current_database(), login);
        begin
            execute format('alter role %I in database %I set search_path = %I, public',
                login, current_database(), current_setting('bridge.schema'));
        exception when insufficient_privilege then
            raise notice '%: its search_path cannot be set here; let it say "set search_path to %" itself',
                login, current_setting('bridge.schema');
        end;
    end loop;
end
$$;
