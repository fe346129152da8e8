"""Is a configuration that is wrong refused before anything runs, every problem at once, without showing secrets?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.anomaly import Severity
from bridge.domain.limits import WriteLimits
from bridge.domain.tag import DataType, Route
from bridge.errors import ConfigError
from bridge.plant import Plant
from bridge.settings import Settings, load

ROOT = Path(__file__).parent.parent.parent
BASE: dict[str, Any] = {
    "links": {"plant": {"kind": "opcua", "endpoint": "opc.tcp://127.0.0.1:4840"}, "hmi": {"kind": "gateway"}},
    "types": {
        "reactor": {
            "link": "plant",
            "signals": {"temperature": {"tag": "[default]{equipment}/T", "address": "s={equipment}/T"}},
            "setpoints": {
                "throughput": {
                    "tag": "[default]{equipment}/SP",
                    "address": "s={equipment}/SP",
                    "limits": {"low": 100, "high": 800},
                }
            },
            "remedies": [],
        }
    },
    "equipment": [{"ids": ["REACTOR_{01..02}"], "type": "reactor"}],
}


def changed(*path: str | int, to: object) -> dict[str, Any]:
    """BASE with one value replaced or added."""

    def copy(part: Any, rest: tuple[str | int, ...]) -> Any:
        if not rest:
            return to
        if isinstance(part, list):
            return [copy(item, rest[1:]) if place == rest[0] else item for place, item in enumerate(part)]
        return {**part, rest[0]: copy(part.get(rest[0], {}), rest[1:])}

    return dict(copy(BASE, path))


def plant_of(values: dict[str, Any]) -> Plant:
    return Plant.of(Settings(**values))


def problems_of(values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        plant_of(values)
    return caught.value.problems


def write_toml(folder: Path, text: str) -> Path:
    file = folder / "bridge.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(write_toml(folder, text))
    return caught.value.problems


LINK = '[links.plant]\nkind = "opcua"\nendpoint = "opc.tcp://h:4840"\n'
RULE = "[[types.r.rules]]\nissue = 'hot'\nsignal = 't'\n"
HELP = "[[types.r.remedies]]\nissue = 'hot'\nseverity = 'high'\naction = 'x'\n"
SETPOINT = '[types.r.setpoints.sp]\ntag = "t"\naddress = "a"\n'

WRONG = {
    "an unknown section": ("[agnet]\nid = 'x'", "agnet: unknown key"),
    "an unknown key": ("[agent]\npol_s = 5", "agent.pol_s: unknown key"),
    "an unknown key deep inside": (
        SETPOINT + "limits = { low = 0, high = 1, max_stp = 1 }",
        "limits.max_stp: unknown key",
    ),
    "text for a number": ("[agent]\npoll_s = 'soon'", "agent.poll_s: "),
    "zero where more is wanted": ("[agent]\npoll_s = 0", "agent.poll_s: "),
    "NaN": ("[agent]\npoll_s = nan", "agent.poll_s: "),
    "infinity": ("[agent]\nlease_s = inf", "agent.lease_s: "),
    "a lease shorter than the work": ("[agent]\nlease_s = 9", "lease_s must be more than twice"),
    "no limits": (SETPOINT, "limits: missing; a writable tag needs limits with low and high"),
    "no low": (SETPOINT + "limits = { high = 1 }", "limits.low: missing"),
    "a range upside down": (SETPOINT + "limits = { low = 5, high = 1 }", "low 5 must be below high 1"),
    "an empty range": (SETPOINT + "limits = { low = 5, high = 5 }", "low 5 must be below high 5"),
    "an infinite limit": (SETPOINT + "limits = { low = 0, high = inf }", "limits.high: "),
    "a tolerance as wide as the range": (
        SETPOINT + "limits = { low = 0, high = 1, tolerance = 1 }",
        "tolerance 1 is as wide as the range",
    ),
    "a negative step": (SETPOINT + "limits = { low = 0, high = 1, max_step = -1 }", "limits.max_step: "),
    "a Boolean with another range": (
        SETPOINT + "data_type = 'Boolean'\nlimits = { low = 0, high = 5 }",
        "a Boolean set-point has the range low = 0, high = 1",
    ),
    "a String set-point": (
        SETPOINT + "data_type = 'String'\nlimits = { low = 0, high = 5 }",
        "a String tag cannot be a set-point",
    ),
    "limits beyond the type": (
        SETPOINT + "data_type = 'Byte'\nlimits = { low = 0, high = 256 }",
        "limit 256 does not fit Byte",
    ),
    "a fractional limit of an integer": (
        SETPOINT + "data_type = 'Int16'\nlimits = { low = 0.5, high = 5 }",
        "limit 0.5 does not fit Int16: not a whole number",
    ),
    "an unknown type of data": (
        "[types.r.signals.t]\ntag = 't'\naddress = 'a'\ndata_type = 'Real'",
        "data_type: ",
    ),
    "an endpoint of another kind": ("[links.p]\nkind = 'opcua'\nendpoint = 'http://h'", "endpoint: "),
    "a link of another kind": ("[links.p]\nkind = 'modbus'", "links.p: "),
    "security without certificates": (
        LINK + 'security = "Basic256Sha256"',
        "security Basic256Sha256 wants certificate, private_key, server_certificate as well",
    ),
    "a user without a password": (LINK + 'username = "u"', "username and password belong together"),
    "levels that do not rise": (
        RULE + "levels = [{ limit = 9, severity = 'high' }, { limit = 8, severity = 'critical' }]",
        "levels must go outwards",
    ),
    "severities that do not rise": (
        RULE + "levels = [{ limit = 8, severity = 'high' }, { limit = 9, severity = 'high' }]",
        "levels must go outwards",
    ),
    "percent and value together": (
        HELP + "writes = [{ setpoint = 's', value = 1, change_percent = 2 }]",
        "give either change_percent or value",
    ),
    "neither percent nor value": (
        HELP + "writes = [{ setpoint = 's' }]",
        "give either change_percent or value",
    ),
    "no TOML": ("[agent", "not readable as TOML"),
    "Genie without a space": ("[advisor]\nkind = 'genie'", "kind = genie wants a space"),
    "a model without an endpoint": ("[advisor]\nkind = 'serving'", "kind = serving wants an endpoint"),
    "Azure without its key": (
        "[advisor]\nkind = 'azure'\nendpoint = 'd'\nazure_host = 'https://r.openai.azure.com'",
        "BRIDGE_ADVISOR__AZURE_KEY",
    ),
    "a key in the clear": (
        "[advisor]\nkind = 'azure'\nendpoint = 'd'\nazure_key = 'k'\nazure_host = 'http://r.example'",
        "http:// would send the token in the clear",
    ),
    "an advisor that nobody knows": ("[advisor]\nkind = 'oracle'", "advisor.kind: "),
    "a remedy's name that is none": (HELP + "name = 'Slow down'", "name: "),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_wrong_file_is_refused_with_place_and_reason(tmp_path: Path, case: str) -> None:
    """Each slip must be told with the file, the key and what was wanted."""
    text, words = WRONG[case]
    problems = refused(tmp_path, text)
    assert any(words in problem for problem in problems), problems
    assert all(problem.startswith(str(tmp_path)) for problem in problems)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """Three slips must give three lines."""
    problems = refused(tmp_path, "[agnet]\nx = 1\n[agent]\npoll_s = 0\n[store]\npool_size = 1\n")
    assert len(problems) == 3


@pytest.mark.parametrize(
    "text",
    [
        "[store]\nurl = 7",
        "[store]\nurl = ['hunter2']",
        "[store]\noperator_url = { hunter2 = 1 }",
        LINK + "username = 'u'\npassword = ['hunter2']",
        LINK + "password = 'hunter2'",
        "[advisor]\nazure_key = ['hunter2']",
        "[advisor]\nkind = 'azure'\nazure_key = 'hunter2'",
        "[store]\nurl = 'hunter2'\npool_size = 1",
    ],
)
def test_a_secret_is_never_shown_in_a_problem(tmp_path: Path, text: str) -> None:
    """Neither a URL nor a password may appear in what is told about it."""
    assert "hunter2" not in "\n".join(refused(tmp_path, text))


def test_a_secret_is_never_shown_in_the_settings(tmp_path: Path) -> None:
    """Printing the settings must show stars, and the value must be there when asked for."""
    settings = load(write_toml(tmp_path, "[store]\nurl = 'postgresql://u:hunter2@h/d'"))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.model_dump())
    assert settings.store.url.get_secret_value() == "postgresql://u:hunter2@h/d"


def test_the_environment_comes_before_the_file_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable must replace its own key only; without it the file counts, and then the default."""
    file = write_toml(tmp_path, "[agent]\npoll_s = 7\ntend_s = 8\n[links.plant]\nkind = 'gateway'")
    monkeypatch.setenv("BRIDGE_AGENT__POLL_S", "3")
    monkeypatch.setenv("BRIDGE_STORE__URL", "postgresql://somewhere")
    monkeypatch.setenv("BRIDGE_LOG__LEVEL", "")  # empty counts as not given
    settings = load(file)
    assert (settings.agent.poll_s, settings.agent.tend_s, settings.agent.heartbeat_s) == (3.0, 8.0, 5.0)
    assert settings.store.url.get_secret_value() == "postgresql://somewhere"
    assert settings.log.level == "info"
    assert "plant" in settings.links


def test_the_environment_reaches_links_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password must be able to come from the environment alone."""
    monkeypatch.setenv("BRIDGE_LINKS__PLANT__PASSWORD", "from the environment")
    settings = load(write_toml(tmp_path, LINK + "username = 'u'"))
    link = settings.links["plant"]
    assert link.kind == "opcua"
    assert link.password.get_secret_value() == "from the environment"


@pytest.mark.parametrize("name", ["BRIDGE_AGENT__POL_S", "BRIDGE_STORE__URI"])
def test_a_misspelt_variable_is_refused_like_a_misspelt_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A variable that names no key of its section must not be passed over in silence."""
    monkeypatch.setenv(name, "3")
    assert any("unknown key" in problem for problem in refused(tmp_path, ""))


def test_the_file_is_found_by_name_by_variable_or_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named file must exist; without a name bridge.toml of the present folder is read when it is there."""
    monkeypatch.chdir(tmp_path)
    assert load().agent.poll_s == 10.0
    file = write_toml(tmp_path, "[agent]\npoll_s = 4")
    assert load().agent.poll_s == 4.0
    other = tmp_path / "other.toml"
    monkeypatch.setenv("BRIDGE_CONFIG", str(other))
    with pytest.raises(ConfigError, match=r"no such file; copy bridge\.example\.toml"):
        load()
    other.write_text("[agent]\npoll_s = 6")
    assert load().agent.poll_s == 6.0
    assert load(file).agent.poll_s == 4.0


def test_settings_are_frozen(tmp_path: Path) -> None:
    """Nobody may change a limit while the bridge runs."""
    settings = load(write_toml(tmp_path, ""))
    with pytest.raises(ValueError, match="frozen"):
        settings.agent.__setattr__("poll_s", 1.0)


@pytest.mark.parametrize(
    "file", sorted([ROOT / "bridge.example.toml", *ROOT.glob("examples/*.toml")]), ids=lambda f: f.name
)
def test_every_example_is_a_whole_configuration(file: Path) -> None:
    """What we ship to start from must load and expand without a problem."""
    assert Plant.of(load(file)).tags


# The plant


def test_a_type_is_expanded_for_each_piece_of_equipment() -> None:
    """Tags, addresses and limits must be those of the type with the equipment's id put in."""
    plant = plant_of(BASE)
    assert list(plant.equipment) == ["REACTOR_01", "REACTOR_02"]
    tag = plant.tags["[default]REACTOR_02/SP"]
    assert (tag.address, tag.equipment_id, tag.setpoint, tag.signal) == (
        "s=REACTOR_02/SP",
        "REACTOR_02",
        "throughput",
        None,
    )
    assert tag.limits == WriteLimits(low=100.0, high=800.0)
    assert [tag.path for tag in plant.writable] == ["[default]REACTOR_01/SP", "[default]REACTOR_02/SP"]
    signal = plant.tags["[default]REACTOR_01/T"]
    assert (signal.writable, signal.signal, signal.route) == (False, "temperature", Route.OPCUA)
    assert len(plant.on_link("plant")) == 4
    assert plant.on_link("hmi") == ()


def test_a_tag_may_take_another_link_than_its_type() -> None:
    """A set-point that the gateway writes must be routed to it."""
    plant = plant_of(changed("types", "reactor", "setpoints", "throughput", "link", to="hmi"))
    assert plant.tags["[default]REACTOR_01/SP"].route is Route.GATEWAY
    assert plant.tags["[default]REACTOR_01/T"].route is Route.OPCUA


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("PUMP", ["PUMP"]),
        ("R_{1..3}", ["R_1", "R_2", "R_3"]),
        ("R_{08..11}", ["R_08", "R_09", "R_10", "R_11"]),
        ("{1..2}_X", ["1_X", "2_X"]),
        ("R{007..007}", ["R007"]),
    ],
)
def test_an_id_may_hold_one_range(pattern: str, ids: list[str]) -> None:
    """Numbers must keep the width of the first one."""
    plant = plant_of(changed("equipment", to=[{"ids": [pattern], "type": "reactor"}]))
    assert list(plant.equipment) == ids


@given(first=st.integers(0, 50), count=st.integers(1, 50), width=st.integers(1, 4))
def test_a_range_gives_every_number_once_in_its_order(first: int, count: int, width: int) -> None:
    """Any range must give as many different ids as it has numbers."""
    last = first + count - 1
    plant = plant_of(
        changed("equipment", to=[{"ids": [f"R_{{{first:0{width}d}..{last}}}"], "type": "reactor"}])
    )
    assert [int(name[2:]) for name in plant.equipment] == list(range(first, last + 1))


@pytest.mark.parametrize("pattern", ["R_{4..1}", "R_{1..2}_{1..2}", "R_{a..b}", "R_{1..}", "R_}", ""])
def test_a_range_that_is_none_is_refused(pattern: str) -> None:
    """Backwards, twice, of letters, open or empty must be told with the pattern."""
    assert any(
        repr(pattern) in problem
        for problem in problems_of(changed("equipment", to=[{"ids": [pattern], "type": "reactor"}]))
    )


REMEDY = {"issue": "high_temperature", "severity": "high", "action": "x"}
WRONG_PLANT: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown type": (
        changed("equipment", 0, "type", to="rector"),
        "equipment.1.type: no type 'rector'; configured types: reactor",
    ),
    "equipment listed twice": (
        changed("equipment", to=[{"ids": ["R_{1..2}", "R_2"], "type": "reactor"}]),
        "equipment R_2: listed twice",
    ),
    "an unknown link": (
        changed("types", "reactor", "link", to="plnt"),
        "no link 'plnt'; configured links: hmi, plant",
    ),
    "one tag for all equipment": (
        changed("types", "reactor", "signals", "temperature", "tag", to="[default]T"),
        "tag [default]T: configured twice",
    ),
    "two tags with one address": (
        changed("types", "reactor", "signals", "temperature", "address", to="s={equipment}/SP"),
        "share the address s=REACTOR_01/SP on link plant",
    ),
    "a rule for no signal": (
        changed(
            "types",
            "reactor",
            "rules",
            to=[{"issue": "x", "signal": "level", "levels": [{"limit": 1, "severity": "low"}]}],
        ),
        "watches 'level'",
    ),
    "two rules for one issue": (
        changed(
            "types",
            "reactor",
            "rules",
            to=[{"issue": "x", "signal": "temperature", "levels": [{"limit": 1, "severity": "low"}]}] * 2,
        ),
        "two rules for issue x",
    ),
    "a remedy for no rule": (
        changed("types", "reactor", "remedies", to=[{**REMEDY, "issue": "leak"}]),
        "no rule finds 'leak'",
    ),
    "two remedies of one severity without names": (
        changed("types", "reactor", "remedies", to=[REMEDY, REMEDY]),
        "give each a `name` of its own",
    ),
    "a remedy for no set-point": (
        changed(
            "types", "reactor", "remedies", to=[{**REMEDY, "writes": [{"setpoint": "speed", "value": 1}]}]
        ),
        "no set-point 'speed'",
    ),
    "a remedy outside the range": (
        changed(
            "types",
            "reactor",
            "remedies",
            to=[{**REMEDY, "writes": [{"setpoint": "throughput", "value": 801}]}],
        ),
        "801.0 is outside 100 to 800",
    ),
    "a remedy of another type": (
        changed(
            "types",
            "reactor",
            "remedies",
            to=[{**REMEDY, "writes": [{"setpoint": "throughput", "value": True}]}],
        ),
        "wanted a Double number, found bool True",
    ),
}


@pytest.mark.parametrize("case", sorted(WRONG_PLANT))
def test_a_plant_that_does_not_fit_together_is_refused(case: str) -> None:
    """Each contradiction must be told with where it is and what there is instead."""
    values, words = WRONG_PLANT[case]
    assert any(words in problem for problem in problems_of(values)), problems_of(values)


def test_all_contradictions_are_told_at_once_and_each_once() -> None:
    """A plant with three problems must give three lines, however many pieces of equipment share them."""
    values = changed("types", "reactor", "remedies", to=[{**REMEDY, "issue": "leak"}])
    values["types"]["reactor"]["signals"]["temperature"]["link"] = "plnt"
    values["equipment"] = [*values["equipment"], {"ids": ["X"], "type": "rector"}]
    try:
        problems = problems_of(values)
    finally:
        del BASE["types"]["reactor"]["signals"]["temperature"]["link"]
    assert len(problems) == len(set(problems)) == 3


def test_a_type_that_says_nothing_gets_the_shipped_rules_and_remedies() -> None:
    """85, 90 and 95 °C, answered by 10, 25 and 50 % less throughput, with cooling from 25 % on."""
    plant = Plant.of(load(ROOT / "bridge.example.toml"))
    reactor = plant.equipment["REACTOR_01"]
    assert [(level.limit, level.severity, level.confidence) for level in reactor.rules[0].levels] == [
        (85.0, Severity.MEDIUM, 0.85),
        (90.0, Severity.HIGH, 0.90),
        (95.0, Severity.CRITICAL, 0.95),
    ]
    assert [
        [(change.setpoint, change.change_percent, change.value) for change in remedy.changes]
        for remedy in reactor.remedies
    ] == [
        [("throughput", -10, None)],
        [("throughput", -25, None), ("cooling", None, True)],
        [("throughput", -50, None), ("cooling", None, True)],
    ]
    assert plant.equipment["PUMP_01"].setpoints == {}
    assert plant.tags["[default]REACTOR_01/CoolingOn"].data_type is DataType.BOOLEAN


def test_equipment_may_replace_a_rule_of_its_type() -> None:
    """A rule of the same issue must replace the type's for these pieces only."""
    rule = {
        "issue": "high_temperature",
        "signal": "temperature",
        "levels": [{"limit": 60, "severity": "low"}],
    }
    values = changed(
        "equipment",
        to=[{"ids": ["A"], "type": "reactor"}, {"ids": ["B"], "type": "reactor", "rules": [rule]}],
    )
    plant = plant_of(values)
    assert [level.limit for level in plant.equipment["A"].rules[0].levels] == [85.0, 90.0, 95.0]
    assert [[level.limit for level in rule.levels] for rule in plant.equipment["B"].rules] == [[60.0]]
