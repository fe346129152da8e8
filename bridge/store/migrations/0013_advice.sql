-- Advice (Genie, a language model) on a proposal that the rules have made: asked for in the background, written
-- once, kept in `evidence` -> 'advisor'. These columns are the agent's own book of what it has asked.
alter table agent_recommendations
    -- null: not asked about this proposal; asked: a question is out; given: the answer is in; failed: see evidence
    add column advice_state text check (advice_state in ('asked', 'given', 'failed')),
    add column advice_question text,              -- the question that is out, or the one that was answered last
    add column advice_asked_timestamp timestamptz,
    add column advice_attempts integer not null default 0;

grant update (advice_state, advice_question, advice_asked_timestamp, advice_attempts)
    on agent_recommendations to bridge_agent;

-- What one person has approved is not rewritten under the eyes of the second. A trigger and not a condition of the
-- statement: it looks with the row locked, so an approval of this very moment is seen.
create function guard_advice() returns trigger
language plpgsql as $$
begin
    if exists (select from approvals where recommendation_id = old.recommendation_id and digest = old.write_digest) then
        perform refuse('already_decided', format(
            'somebody has approved recommendation %s already; advice comes too late', old.recommendation_id));
    end if;
    return new;
end
$$;

create trigger guard_advice before update on agent_recommendations
    for each row when (new.advice_state = 'given' and old.advice_state is distinct from 'given')
    execute function guard_advice();

-- What was advised, and that nobody could advise, are part of the story.
create function audit_advice() returns trigger
language plpgsql security definer set search_path from current as $$
begin
    perform audit_append(new.created_by_agent, acting_role(),
        'recommendation.' || case new.advice_state when 'given' then 'advised' else 'not_advised' end,
        'recommendation', new.recommendation_id, new.recommendation_id, old.status, new.status,
        jsonb_strip_nulls(jsonb_build_object(
            'source', new.source, 'root_cause_analysis', new.root_cause_analysis, 'write_digest', new.write_digest,
            'was_write_digest', old.write_digest, 'recommended_action', new.recommended_action,
            'advisor', new.evidence -> 'advisor')));
    return null;
end
$$;
revoke all on function audit_advice from public;

-- By its name it comes before `audit`: first what was advised, then the revision that came of it.
create constraint trigger advice_audit after update on agent_recommendations
    deferrable initially deferred for each row
    when (new.advice_state in ('given', 'failed')
          and (new.advice_state, new.advice_attempts) is distinct from (old.advice_state, old.advice_attempts))
    execute function audit_advice();

-- As 0008 does: names inside a trigger mean our own tables, never somebody's temporary ones.
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
