-- PostgreSQL looks into a session's temporary tables first, also for the names inside a trigger. Without
-- this, whoever may connect could lay a temporary `tag_limits`, `approvals` or `agent_audit_head` over the
-- real one, and the guards would read their rules from it. With it, our own schema always comes first.
do $$
declare
    guarded regprocedure;
begin
    for guarded in
        select oid from pg_proc
        where pronamespace = current_schema()::regnamespace and (prosecdef or prorettype = 'trigger'::regtype)
    loop
        execute format('alter function %s set search_path = %I, pg_temp', guarded, current_schema());
    end loop;
end
$$;
