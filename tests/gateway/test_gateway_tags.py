"""Are tags what the export says, with UDTs spelt out, and do they behave and refuse as in Ignition?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.gateway_stand import atomic, folder, opc, provider, tag_file
from simulator.gateway.expressions import ExpressionError, parse
from simulator.gateway.faults import FaultError, Faults
from simulator.gateway.qualities import GOOD, QualifiedValue, Quality, from_opc, to_opc
from simulator.gateway.tag_file import Tag, TagFileError, read_tags
from simulator.gateway.tags import DEFAULT_GROUPS, TagError, TagStore

NODE = {"dataType": "String", "value": ""}
BOUND = {"bindType": "parameter", "binding": "nsu=urn:plant;s={Node}.Temp"}
COOLER = {
    "name": "Cooler",
    "tagType": "UdtType",
    "parameters": {"Node": NODE, "High": {"dataType": "Float", "value": 40.0}},
    "tags": [
        atomic(
            "Temp",
            valueSource="opc",
            opcServer="Plant",
            opcItemPath=BOUND,
            readOnly=True,
            engHigh={"bindType": "parameter", "binding": "{High}"},
        ),
        atomic("Kelvin", valueSource="expr", expression="{[.]Temp} + 273.15"),
        atomic("Name", "String", valueSource="expr", expression="{Node} + ' at ' + {InstanceName}"),
        folder("Sub", atomic("Note", "String", value="none")),
    ],
}


def instance(name: str, type_id: str = "Cooler", **properties: object) -> dict[str, object]:
    return {"name": name, "tagType": "UdtInstance", "typeId": type_id, **properties}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., dict[str, Tag]]:
    def make(*tags: object) -> dict[str, Tag]:
        return read_tags(tag_file(tmp_path / "tags.json", *tags))

    return make


def problems(read: Callable[..., dict[str, Tag]], *tags: object) -> str:
    with pytest.raises(TagFileError) as caught:
        read(*tags)
    return str(caught.value)


# the file


def test_instances_are_spelt_out_with_parameters_and_overrides(read: Callable[..., dict[str, Tag]]) -> None:
    found = read(
        folder("_types_", COOLER),
        folder(
            "Site",
            instance(
                "U1",
                parameters={"Node": {"dataType": "String", "value": "N-1"}},
                tags=[
                    {"name": "Temp", "tagType": "AtomicTag", "engHigh": 25.0},
                    folder("Sub", {"name": "Note", "tagType": "AtomicTag", "value": "mine"}),
                ],
            ),
            instance("U2", parameters={"Node": {"dataType": "String", "value": "N-2"}}),
        ),
    )
    first, second = found["[default]Site/U1/Temp"], found["[default]Site/U2/Temp"]
    assert (first.opc_item_path, first.eng_high, first.read_only) == ("nsu=urn:plant;s=N-1.Temp", 25.0, True)
    assert (second.opc_item_path, second.eng_high) == ("nsu=urn:plant;s=N-2.Temp", 40.0)
    assert found["[default]Site/U1/Sub/Note"].value == "mine"
    assert found["[default]Site/U1/Name"].expression == '"N-1" + \' at \' + "U1"'


def test_a_type_takes_over_from_the_one_it_extends_and_may_hold_instances(
    read: Callable[..., dict[str, Tag]],
) -> None:
    better = {
        "name": "Better",
        "tagType": "UdtType",
        "typeId": "Cold/Cooler",
        "tags": [{"name": "Temp", "tagType": "AtomicTag", "engHigh": 9.0}, atomic("Extra", "Int4", value=3)],
    }
    pair = {
        "name": "Pair",
        "tagType": "UdtType",
        "parameters": {"Line": NODE},
        "tags": [
            instance(
                "Left",
                "Cold/Better",
                parameters={
                    "Node": {"dataType": "String", "value": {"bindType": "parameter", "binding": "{Line}-L"}}
                },
            )
        ],
    }
    found = read(
        folder("_types_", folder("Cold", COOLER, better, pair)),
        instance("P", "Cold/Pair", parameters={"Line": {"dataType": "String", "value": "7"}}),
    )
    assert found["[default]P/Left/Temp"].opc_item_path == "nsu=urn:plant;s=7-L.Temp"
    assert found["[default]P/Left/Temp"].eng_high == 9.0
    assert found["[default]P/Left/Extra"].value == 3


def test_circles_and_strangers_among_types_are_named(read: Callable[..., dict[str, Tag]]) -> None:
    a = {"name": "A", "tagType": "UdtType", "tags": [instance("inner", "B")]}
    b = {"name": "B", "tagType": "UdtType", "tags": [instance("inner", "A")]}
    said = problems(read, folder("_types_", a, b), instance("x", "A"), instance("y", "Nobody"))
    assert "[default]x: the types go round in a circle: A -> B -> A" in said
    assert "[default]y: typeId 'Nobody' is not under _types_" in said


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        (atomic("x", "Int3"), "dataType 'Int3' is not supported"),
        (atomic("x", "DataSet"), "dataType 'DataSet' is not supported"),
        (atomic("x", valueSource="derived"), "valueSource 'derived' is not supported"),
        (atomic("x", valueSource="opc"), "a tag of source opc needs opcItemPath"),
        (atomic("x", eventScripts=[{"eventid": "valueChanged"}]), "event scripts of tags are not supported"),
        (atomic("x", engLimitMode="Clamp_Both"), "engLimitMode 'Clamp_Both' is not supported"),
        ({"name": "x", "tagType": "Widget"}, "tagType 'Widget' is not known here"),
        ({"tagType": "AtomicTag"}, "holds a tag without a name"),
    ],
)
def test_what_a_tag_cannot_be_is_named(read: Callable[..., dict[str, Tag]], tag: object, said: str) -> None:
    assert said in problems(read, tag)


def test_two_tags_of_one_name_are_refused(read: Callable[..., dict[str, Tag]]) -> None:
    assert "[default]x: there are two tags of this name" in problems(read, atomic("x"), atomic("x"))


@pytest.mark.parametrize("content", ["", "[]", '{"tags": 3}', '{"tags": [', "\x00"])
def test_what_is_no_export_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tags.json").write_text(content, encoding="utf-8")
    with pytest.raises(TagFileError):
        read_tags(tmp_path / "tags.json")


def test_a_branch_is_imported_like_a_provider(tmp_path: Path) -> None:
    (tmp_path / "tags.json").write_text(json.dumps(folder("Site", atomic("x"))), encoding="utf-8")
    assert list(read_tags(tmp_path / "tags.json", provider="edge")) == ["[edge]Site/x"]
    assert provider()["tagType"] == "Provider"


# expressions


def value_of(text: str, **values: object) -> Any:
    def read(reference: str) -> QualifiedValue:
        found = values[reference]
        if isinstance(found, Quality):
            return QualifiedValue(value=None, quality=found, at_utc=datetime.now(UTC))
        return QualifiedValue(value=found, quality=GOOD, at_utc=datetime.now(UTC))

    return parse(text).evaluate(read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 ^ 2", 19),
        ("-(2 + 1) * 2", -6),
        ("7 / 2", 3.5),
        ("{a} > 2 && !({b} = 'x')", True),
        ("if({a} >= 3, 'high', 'low')", "high"),
        ("concat('a', {a}, true)", "a3true"),
        ("'n=' + {a}", "n=3"),
        ("round(2.345, 1)", 2.3),
        ("round(2.5)", 3),
        ("coalesce(null, {a})", 3),
        ("max({a}, 10, 2)", 10),
        ("try(1 / 0, -1)", -1),
        ("isNull({n})", True),
        ("toInt('7') % 4", 3),
    ],
)
def test_expressions_compute(text: str, expected: object) -> None:
    assert value_of(text, a=3, b="y", n=None) == (expected, GOOD)


def test_a_bad_quality_is_taken_on_unless_it_is_asked_for() -> None:
    stale = Quality("Bad_Stale")
    assert value_of("{a} + {b}", a=1, b=stale) == (None, stale)
    assert value_of("isGood({b})", b=stale) == (False, GOOD)
    assert value_of("try({b}, 5)", b=stale) == (5, GOOD)


@pytest.mark.parametrize("text", ["hasChanged({a})", "1 +", "(1", "{a", "if(1, 2)", "1 2", "#"])
def test_expressions_are_refused_by_name(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


# the store


class PlantDouble:
    """Answers writes with the status it was told; keeps what it was sent."""

    def __init__(self, status: str = "Good") -> None:
        self.status = status
        self.sent: list[tuple[str, Any]] = []

    async def write(self, writes: Sequence[tuple[str, Any]]) -> list[str]:
        self.sent += writes
        return [self.status] * len(writes)


@pytest.fixture
def store(read: Callable[..., dict[str, Tag]]) -> TagStore:
    tags = read(
        atomic("Number", "Int2", value=3),
        atomic("Fixed", value=1.0, readOnly=True),
        atomic("Off", value=1.0, enabled=False),
        atomic(
            "Guarded", value=1.0, writePermissions={"type": "AllOf", "securityLevels": [{"name": "Boss"}]}
        ),
        atomic("Twice", "Float8", valueSource="expr", expression="{[.]Number} * 2"),
        atomic("Fourfold", "Float8", valueSource="expr", expression="{[~]Twice} * 2"),
        atomic("Ouroboros", "Float8", valueSource="expr", expression="{Ouroboros} + 1"),
        atomic("Lost", tagGroup="Nowhere"),
        atomic("Mirror", "Float4", valueSource="reference", sourceTagPath="[default]Plant/Speed"),
        folder("Plant", opc("Speed", "Float4", "P/Speed", engUnit="rpm", tagGroup="Default")),
    )
    return TagStore(tags, groups=DEFAULT_GROUPS, faults=Faults())


def heard(store: TagStore, value: object, status: str = "Good") -> None:
    store.connections["Plant"].item_changed(
        "nsu=urn:ignition-bridge:plant;s=P/Speed", value, status, datetime.now(UTC)
    )


async def test_memory_and_expression_tags_follow(store: TagStore) -> None:
    assert await store.write([("[default]Number", 5)]) == [GOOD]
    assert store.read("[default]Fourfold").value == 20.0
    assert str(store.read("[default]Ouroboros").quality).startswith("Error_CycleDetected")
    assert str(store.read("[default]Lost").quality).startswith("Error_Configuration")


@pytest.mark.parametrize(
    ("path", "value", "quality"),
    [
        ("[default]Fixed", 2.0, "Bad_ReadOnly"),
        ("[default]Twice", 2.0, "Bad_ReadOnly"),
        ("[default]Off", 2.0, "Bad_Disabled"),
        ("[default]Nobody", 2.0, "Bad_NotFound"),
        ("[default]Number", 2.5, "Error_TypeConversion"),
        ("[default]Number", 70000, "Error_TypeConversion"),
        ("[default]Number", "7", "Error_TypeConversion"),
        ("[default]Number.engHigh", 7, "Bad_Unsupported"),
    ],
)
async def test_refused_writes_change_nothing(store: TagStore, path: str, value: object, quality: str) -> None:
    (answer,) = await store.write([(path, value)])
    assert answer.name == quality
    assert store.read("[default]Number").value == 3


async def test_permissions_stop_clients_and_not_scripts(store: TagStore) -> None:
    assert (await store.write([("[default]Guarded", 2)], from_client=True))[0].name == "Bad_AccessDenied"
    assert await store.write([("[default]Guarded", 2)]) == [GOOD]


async def test_an_opc_tag_shows_what_the_plant_says_and_not_what_was_written(store: TagStore) -> None:
    plant = PlantDouble()
    store.connections["Plant"].writer = plant
    assert store.read("[default]Plant/Speed").quality.name == "Uncertain_InitialValue"
    heard(store, 100.0)
    assert await store.write([("[default]Mirror", 90.1)]) == [GOOD]
    assert plant.sent == [("nsu=urn:ignition-bridge:plant;s=P/Speed", pytest.approx(90.1))]
    assert store.read("[default]Plant/Speed").value == 100.0
    heard(store, plant.sent[0][1])
    assert store.read("[default]Mirror").value == pytest.approx(90.1)
    assert store.read("[default]Plant/Speed.engUnit").value == "rpm"


async def test_qualities_of_the_plant_are_passed_on(store: TagStore) -> None:
    store.connections["Plant"].writer = PlantDouble("BadNotWritable")
    heard(store, 100.0)
    (answer,) = await store.write([("[default]Plant/Speed", 1.0)])
    assert str(answer) == 'Bad("Bad_NotWritable")'
    store.connections["Plant"].writer = PlantDouble("BadOutOfRange")
    assert (await store.write([("[default]Plant/Speed", 1.0)]))[0].name == "Bad_OutOfRange"
    heard(store, None, "BadSensorFailure")
    assert str(store.read("[default]Plant/Speed").quality) == 'Bad("Bad_SensorFailure")'
    heard(store, 7.0)
    store.connections["Plant"].device_lost()
    lost = store.read("[default]Plant/Speed")
    assert (lost.value, lost.quality.name) == (7.0, "Bad_Stale")


async def test_a_write_without_a_plant_is_not_connected(store: TagStore) -> None:
    assert (await store.write([("[default]Plant/Speed", 1.0)]))[0].name == "Bad_NotConnected"


def test_a_provider_that_is_not_there_raises(store: TagStore) -> None:
    with pytest.raises(TagError, match=r"\[edge\]"):
        store.read("[edge]Number")


@pytest.mark.parametrize(
    "status", ["BadNotWritable", "BadSensorFailure", "BadOutOfRange", "UncertainSubNormal"]
)
def test_a_status_survives_its_way_through_a_quality(status: str) -> None:
    assert to_opc(from_opc(status)) == status


# faults


def test_faults_are_checked_by_name() -> None:
    faults = Faults()
    for text in ("no_such", "tag_not_writable", "jdbc_down [default]x"):
        with pytest.raises(FaultError):
            faults.begin(text)
    faults.begin("tag_not_writable [default]x")
    assert faults.on("tag_not_writable", "[default]x")
    assert not faults.on("tag_not_writable", "[default]y")
    faults.clear("tag_not_writable")
    assert not faults.on("tag_not_writable", "[default]x")
    faults.begin("kill_script_after_write")
    assert faults.once("kill_script_after_write")
    assert not faults.once("kill_script_after_write")
