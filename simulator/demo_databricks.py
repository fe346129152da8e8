"""``python -m simulator demo --databricks``: the loop on a simulated workspace, on Lakebase and on a SQL warehouse.

Owner, agent and operators are three service principals, as ``docs/databricks.md`` has them. On Lakebase Genie
enriches what the rules have proposed before somebody decides; a warehouse keeps no advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from simulator.demo_play import (
    OPERATOR,
    for_the_record,
    play,
    stay,
    tell_audit,
    tell_commands,
    tell_result,
    tell_story,
    tell_times,
)
from simulator.demo_setting import (
    append,
    configure,
    database_url,
    remember,
    show_check,
    start_database,
    start_plant,
    wait_until_flowing,
)
from simulator.demo_sql import NotAnswered, from_json
from simulator.demo_stage import Child, Demo, DemoError, first_line, near, script
from simulator.demo_workspace import AGENT, OPERATORS, OWNER, Workspace, start_workspace

LAKEBASE_REACTOR: Final = "REACTOR_02"
WAREHOUSE_REACTOR: Final = "REACTOR_03"
SPACE: Final = "Plant"
CATALOG: Final = "plant"
SCHEMA: Final = "agent"
_PARTIES: Final = {"owner": OWNER, "agent": AGENT, "operator": OPERATORS}  # as `db grants` calls them
_PROPOSING: Final = ("recommendation.created", "recommendation.revised", "recommendation.advised")
_ATTEMPTS: Final = 2  # questions to Genie about one state of a proposal
_ANSWER_S: Final = 60.0  # one of them
_BUSY_S: Final = 120.0  # a statement on a warehouse takes its time, and the machine may be busy
_TOLERANCE: Final = 0.5  # of a set-point, in its own unit

Story = dict[str, Any]


def act_in_workspace(demo: Demo, person: bool) -> None:
    """Both stores, one after the other, on one workspace and one plant."""
    _demand_connector()
    for name in [name for name in demo.environment if name.startswith("DATABRICKS_")]:
        del demo.environment[name]  # whoever runs the demo may have a workspace of their own
    demo.say(
        "demo",
        "starting a database, a Databricks workspace before it, a plant and a bridge, each in its own process",
        "bold",
    )
    database, planted = start_database(demo), start_plant(demo)
    workspace = start_workspace(demo, database_url(demo, database))
    plant = first_line(planted).removeprefix("plant ready ")
    demo.say("plant", f"ready at {plant}")
    workspace.write_profiles()

    stories = {"lakebase": _on_lakebase(demo, workspace, plant)}
    demo.say("demo", "once more, with the agent's tables behind a SQL warehouse", "bold")
    stories["warehouse"] = _on_warehouse(demo, workspace, plant)
    tell_times(demo, stories)
    tell_result(demo, {store: _for_the_record(story) for store, story in stories.items()})
    if person:
        stay(
            demo,
            f"{near(script())} status",
            f"{near(script())} genie ask {SPACE} 'why was {LAKEBASE_REACTOR} so hot?'",
            f"python -m simulator fault 'overheat REACTOR_01' --endpoint {plant}",
            f"python -m simulator workspace-fault --host {workspace.host} 'unavailable always'",
        )


def _demand_connector() -> None:
    if find_spec("databricks") is None or find_spec("databricks.sql") is None:
        extra = "pip install 'ignition-lakebase-bridge[warehouse]'"
        raise DemoError(f"--databricks wants databricks-sql-connector, which is not installed: {extra}")


def _on_lakebase(demo: Demo, workspace: Workspace, plant: str) -> Story:
    lakebase = workspace.ready["lakebase"]
    configure(demo, plant, "lakebase")
    append(
        demo,
        f'[databricks.lakebase]\nendpoint = "{lakebase["endpoint"]}"\nport = {lakebase["port"]}\n'
        f'ca_certificate = "{workspace.certificate}"\n\n'
        f'[advisor]\nkind = "genie"\nspace = "{SPACE}"\ndeadline_s = {_ANSWER_S:g}\nattempts = {_ATTEMPTS}\n'
        "again_after_s = 1\n",
    )
    _name_spaces(demo, workspace)
    remember(demo, BRIDGE_STORE__KIND="lakebase")
    _give_roles(demo, workspace)
    _make_tables(demo)
    user = workspace.client_id(OPERATORS)
    demo.read_with(workspace.on_lakebase(OPERATORS, user, workspace.token(OPERATORS)))
    bridge = _start_bridge(demo, "lakebase")
    story = play(demo, LAKEBASE_REACTOR, plant, ask_around=partial(_ask_genie, demo), within_s=_BUSY_S)
    _demand_rules_first(demo, story)
    _look_up(demo, story)
    number = story["recommendation"]["recommendation_id"]
    tell_story(demo, number)
    story["audit"] = _leave(demo, bridge, "lakebase", story)
    counted = workspace.state()["lakebase"]
    if counted["minted"] > counted["logins"]:
        raise DemoError(f"{counted['minted']} credentials for {counted['logins']} connections are too many")
    demo.say("lakebase", f"{counted['logins']} connections were opened with {counted['minted']} credentials")
    return story


def _on_warehouse(demo: Demo, workspace: Workspace, plant: str) -> Story:
    configure(demo, plant, "warehouse")
    append(
        demo,
        f'[store.warehouse]\nconnection_uri = "{workspace.warehouse_uri}"\n'
        f'catalog = "{CATALOG}"\nschema = "{SCHEMA}"\n',
    )
    _name_spaces(demo, workspace)
    remember(
        demo,
        BRIDGE_STORE__KIND="warehouse",
        BRIDGE_AGENT__LEASE_S="45",
        BRIDGE_AGENT__FLUSH_S="2",
        BRIDGE_AGENT__POLL_S="1",
    )
    owner = workspace.on_warehouse(OWNER)
    try:
        owner.rows(f"create catalog {CATALOG}")
        owner.rows(f"create schema {CATALOG}.{SCHEMA}")
    except NotAnswered as problem:
        raise DemoError(f"the warehouse makes no schema: {problem}; logs: {demo.folder}") from problem
    finally:
        owner.close()
    demo.say("warehouse", f"{OWNER} made catalog {CATALOG} and schema {SCHEMA} with databricks-sql-connector")
    _make_tables(demo)
    demo.read_with(workspace.on_warehouse(OPERATORS, catalog=CATALOG, schema=SCHEMA))
    bridge = _start_bridge(demo, "warehouse")
    story = play(demo, WAREHOUSE_REACTOR, plant, within_s=_BUSY_S)
    _look_up(demo, story)
    story["audit"] = _leave(demo, bridge, "warehouse", story)
    return story


def _name_spaces(demo: Demo, workspace: Workspace) -> None:
    append(demo, f'[genie]\nspaces = {{ {SPACE} = "{workspace.ready["spaces"][SPACE]}" }}\n')


def _as(party: str) -> dict[str, str]:
    """The environment in which a command logs in as this party."""
    return {"DATABRICKS_CONFIG_PROFILE": party}


def _give_roles(demo: Demo, workspace: Workspace) -> None:
    """What `db grants` prints, run by whoever owns the project, before there are any tables."""
    names = (f"--{option}={workspace.client_id(party)}" for option, party in _PARTIES.items())
    granted = demo.bridge("db", "grants", *names)
    engineer = str(workspace.ready["user"])
    project_owner = workspace.on_lakebase("the project's owner", engineer, workspace.ready["token"])
    try:
        project_owner.run(granted)
    except NotAnswered as problem:
        raise DemoError(f"what `db grants` printed does not run: {problem}") from problem
    demo.say(
        "lakebase", f"{engineer} ran what `ignition-bridge db grants` printed: who proposes cannot approve"
    )


def _make_tables(demo: Demo) -> None:
    current = demo.bridge("db", "migrate", **_as(OWNER)).strip().splitlines()[-1]
    published = demo.bridge("tags", "publish", **_as(OWNER)).strip().splitlines()[-1]
    demo.say("bridge", f"as {OWNER}: {current}; {published}")


def _start_bridge(demo: Demo, store: str) -> Child:
    bridge = demo.start(f"{store}-bridge", script(), "run", **_as(AGENT))
    show_check(demo, **_as(AGENT))  # while the bridge connects
    wait_until_flowing(demo)
    return bridge


def _ask_genie(demo: Demo, proposed: Mapping[str, Any]) -> None:
    """Wait for Genie's words on what the rules have proposed, and show them with where they come from."""
    number = proposed["recommendation_id"]
    demo.say(
        "genie", f"is asked about {number} meanwhile; the proposal of the rules stands and waits for nobody"
    )
    within_s = _ATTEMPTS * _ANSWER_S + _BUSY_S
    row: dict[str, Any] = demo.wait_for("advice of Genie's", lambda: _advised(demo, number), within_s)
    note = row["evidence"]["advisor"]
    origin = note["provenance"]
    if unsaid := [name for name in ("space", "conversation_id", "sql", "rows") if name not in origin]:
        raise DemoError(f"the advice on {number} does not say its {', '.join(unsaid)}: {origin}")
    demo.say("genie", f"answered within {note['took_s']:.1f} s; {number} has source {row['source']} now")
    demo.say("genie", f"space {origin['space']}, conversation {origin['conversation_id']}")
    demo.say("genie", f"SQL (rows: {origin['rows']}): {' '.join(origin['sql'].split())}")
    if note["remedy"] is None:
        said = "; ".join((*note["notes"], *note["refused"])) or "it named none"
        raise DemoError(f"Genie chose no configured remedy for {number}: {said}")
    digest = row["write_digest"]
    same = digest == proposed["write_digest"]
    becomes = (
        "the writes stay, and so does their digest" if same else f"other writes, new digest {digest[:12]}"
    )
    demo.say("genie", f"its choice: {note['remedy']}, a configured remedy; {becomes}", "green")


def _advised(demo: Demo, number: str) -> dict[str, Any] | None:
    """The proposal with Genie's words in it; None while they are on their way."""
    (row,) = demo.rows(
        "select advice_state, advice_attempts, source, write_digest, evidence from agent_recommendations"
        " where recommendation_id = %s",
        number,
    )
    if row["advice_state"] == "failed" and row["advice_attempts"] >= _ATTEMPTS:
        raise DemoError(f"Genie gave no advice on {number}: {row['evidence']['advisor']['reason']}")
    if row["advice_state"] != "given":
        return None
    if row["source"] != "genie":
        raise DemoError(f"{number} was advised, and its source is {row['source']} instead of genie")
    return row


def _demand_rules_first(demo: Demo, story: Story) -> None:
    """The audit trail has to say that the rules proposed before Genie spoke."""
    steps = [step for step in story["trail"] if step["action"] in _PROPOSING]
    told = [step["action"].partition(".")[2] for step in steps]
    if told[:1] != ["created"] or told[-1:] != ["advised"] or steps[0]["detail"]["source"] != "rules":
        raise DemoError(
            f"the audit trail should have a proposal of the rules and then advice, and has {told}"
        )
    later_s = (steps[-1]["since_start_ms"] - steps[-2]["since_start_ms"]) / 1000
    number, spans = story["recommendation"]["recommendation_id"], story["timings_ms"]
    waited = f"{spans['reading_to_recommendation']:.0f} ms after the reading"
    demo.say(
        "audit", f"the rules proposed {number} {waited}; Genie's words came {later_s:.1f} s behind theirs"
    )


def _look_up(demo: Demo, story: Story) -> None:
    """The verdict as the tables have it: who decided on what, what was wanted, what was read back."""
    number = story["recommendation"]["recommendation_id"]
    (row,) = demo.rows(
        "select status, approved_by_operator, write_digest, proposed_writes from agent_recommendations"
        " where recommendation_id = %s",
        number,
    )
    approvals = demo.rows("select operator, digest from approvals where recommendation_id = %s", number)
    commands = demo.rows(
        "select command_id, tag_path, new_value, read_back_value, status from agent_commands"
        " where recommendation_id = %s order by command_id",
        number,
    )
    if row["status"] != "executed" or row["approved_by_operator"] != OPERATOR:
        raise DemoError(f"{number} should be executed and approved by {OPERATOR}; the tables say {row}")
    if [(given["operator"], given["digest"]) for given in approvals] != [(OPERATOR, row["write_digest"])]:
        raise DemoError(f"{number} should have one approval of its digest; the tables say {approvals}")
    writes = [(write["tag_path"], float(write["to"])) for write in from_json(row["proposed_writes"])]
    if [(command["tag_path"], command["new_value"]) for command in commands] != writes:
        raise DemoError(f"{number} should have the commands {writes}; the tables say {commands}")
    for command in commands:
        wanted, found = command["new_value"], command["read_back_value"]
        if command["status"] != "executed" or found is None or abs(found - wanted) > _TOLERANCE:
            raise DemoError(f"{command['command_id']} should be executed as wanted; the tables say {command}")
        words = f"{command['tag_path']} {wanted:g} wanted, {found:g} read back"
        demo.say("sql", f"{command['command_id']} {command['status']}: {words}", "bold green")


def _leave(demo: Demo, bridge: Child, store: str, story: Story) -> dict[str, object]:
    """The last words on one store; then its bridge ends."""
    tell_commands(demo, {store: story})
    audit = tell_audit(demo)
    demo.end(bridge)
    demo.read_with(None)
    return audit


def _for_the_record(story: Story) -> dict[str, Any]:
    return {**for_the_record(story), "audit": story["audit"]}
