-- PostgreSQL knows no '\v': it read the letter, and took every v from the ends of a name. Vera was recorded as era, and
-- `Vera` and `vera` were two people. What was recorded before stays as it is, as everything in the audit trail does.
create or replace function person(name text) returns text
language sql immutable as $$
    select btrim(normalize(coalesce(name, ''), NFKC), E' \t\n\r\f\x0b')
$$;

-- Its entries were made with the old function.
reindex index operator_sessions_of_person;
