-- name: list_tags_in_use
-- what: Tags with a command that is not finished.
-- role: bridge_agent
select distinct tag_path
from agent_commands
where status in ('pending', 'executing', 'unknown')
