-- name: make_commands
-- what: Make the commands of approved writes, each once, by an id made of the recommendation and the place.
-- param: command_ids text[]
-- param: recommendation_ids text[]
-- param: equipment_ids text[]
-- param: tag_paths text[]
-- param: new_values double precision[]
-- param: expected_values double precision[]
-- param: units text[]
-- param: routes text[]
-- param: places double precision[], from 1
-- param: severities text[]
-- param: actions text[]
-- param: agent_id text
-- param: write_key text, of this change
-- role: bridge_agent
merge into agent_commands as c
using (
    select * from values (
        :command_ids, :recommendation_ids, :equipment_ids, :tag_paths, :new_values, :expected_values, :units, :routes,
        :places, :severities, :actions
    ) as v (
        command_id, recommendation_id, equipment_id, tag_path, new_value, expected_value, unit, route, place, severity, action
    )
) as n
on c.command_id = n.command_id
when not matched then insert (
    command_id, recommendation_id, equipment_id, tag_path, new_value, expected_value, unit, route, sequence, severity,
    action_description, status, created_timestamp, created_by_agent, write_key
)
values (
    n.command_id, n.recommendation_id, n.equipment_id, n.tag_path, n.new_value, n.expected_value, n.unit, n.route,
    cast(n.place as int), n.severity, n.action, 'pending', current_timestamp(), :agent_id, :write_key
)
