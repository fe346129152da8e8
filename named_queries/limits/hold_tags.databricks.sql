-- name: hold_tags
-- what: Take tags for commands, each only while the one who held it before is still the same; a tag has one holder.
-- param: tag_paths text[]
-- param: held_before text[], who held it when that was looked at; empty for nobody
-- param: command_ids text[]
-- role: bridge_agent
merge into tag_limits as t
using (
    select * from values (:tag_paths, :held_before, :command_ids) as v (tag_path, held_before, command_id)
) as n
on t.tag_path = n.tag_path and t.held_by = n.held_before
when matched then update set held_by = n.command_id
