-- name: search_audit
-- what: Entries of the audit trail within the last hours, newest first; each filter is a part of the text, in capitals or not.
-- param: actor text, null or empty for everybody
-- param: action text, null or empty for everything
-- param: object_id text, of the object or of its recommendation, null or empty for all
-- param: hours double precision
-- param: max_rows integer
-- role: bridge_operator, bridge_reader
select seq, at, cast(extract(epoch from clock_timestamp() - at) as double precision) as ago_s, actor, db_role, action,
       object_type, object_id, recommendation_id, old_status, new_status,
       -- The long texts stay in the trail of their recommendation.
       cast(detail - array['root_cause_analysis', 'evidence'] as text) as detail, hash
from agent_audit
where at > now() - make_interval(secs => 3600 * cast(:hours as double precision))
  and strpos(lower(actor), lower(coalesce(cast(:actor as text), ''))) > 0
  and strpos(lower(action), lower(coalesce(cast(:action as text), ''))) > 0
  and (strpos(lower(object_id), lower(coalesce(cast(:object_id as text), ''))) > 0
       or strpos(lower(coalesce(recommendation_id, '')), lower(cast(:object_id as text))) > 0)
order by at desc, seq desc
limit least(cast(:max_rows as integer), 500)
