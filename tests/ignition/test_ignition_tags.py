"""Tag exports into bridge.toml, and bridge.toml into a tag file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from sample_project import ROOT

from bridge.domain.tag import DataType, Route
from bridge.errors import ConfigError, TagFileBroken
from bridge.ignition import tag_map, tag_tree
from bridge.ignition.tag_map import ImportWishes, TagMap, build_map
from bridge.ignition.tag_tree import TagTree, Unresolved, resolve
from bridge.plant import Plant
from bridge.settings import Settings, load

LINKS = {"plant_ua": {"kind": "opcua", "endpoint": "opc.tcp://h:1"}}


def opc(name: str, path: object, **more: object) -> dict[str, Any]:
    """One OPC tag."""
    return {
        "name": name,
        "tagType": "AtomicTag",
        "valueSource": "opc",
        "dataType": "Float8",
        "opcServer": "Plant UA",
        "opcItemPath": path,
        **more,
    }


def bound(text: str) -> dict[str, str]:
    """A property with parameters in it."""
    return {"bindType": "parameter", "binding": text}


def text(value: str) -> dict[str, str]:
    """A parameter."""
    return {"dataType": "String", "value": value}


def udt(name: str, *tags: dict[str, Any], **more: object) -> dict[str, Any]:
    """A UDT."""
    return {"name": name, "tagType": "UdtType", "tags": list(tags), **more}


def instance(name: str, type_id: str, *tags: dict[str, Any], **parameters: str) -> dict[str, Any]:
    """A UDT instance with overrides."""
    given = {key: text(value) for key, value in parameters.items()}
    return {
        "name": name,
        "tagType": "UdtInstance",
        "typeId": type_id,
        "parameters": given,
        "tags": list(tags),
    }


def folder(name: str, *tags: dict[str, Any]) -> dict[str, Any]:
    """A folder."""
    return {"name": name, "tagType": "Folder", "tags": list(tags)}


def provider(*tags: dict[str, Any], types: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """A whole export."""
    return {"name": "", "tagType": "Provider", "tags": [folder("_types_", *types), *tags]}


def tree(document: object) -> TagTree:
    return resolve(document, file="t.json")


def mapped(document: object, **wishes: Any) -> TagMap:
    return build_map(tree(document), ImportWishes(**{"links": {}, **wishes}), source="t.json")


def plant(made: TagMap, links: dict[str, Any] | None = None) -> Plant:
    """The map as the bridge itself reads it."""
    return Plant.of(Settings(**{"links": links or LINKS, **tomllib.loads(made.toml)}))


def addresses(made: TagMap) -> dict[str, str]:
    return {path: tag.address for path, tag in plant(made).tags.items()}


COOLER = udt(
    "Cooler",
    opc("Temp", bound("nsu=urn:p;s={Node}.Temp"), engUnit="degC", engLow=-40.0, engHigh=40.0, readOnly=True),
    opc("SpeedSetpoint", bound("nsu=urn:p;s={Node}.Speed"), engLow=0.0, engHigh=50.5, engUnit="Hz"),
    opc("Free", bound("nsu=urn:p;s={Node}.Free")),
    parameters={"Node": text("")},
)


def test_instances_of_one_udt_become_one_type() -> None:
    made = mapped(provider(*(instance(f"U{n}", "Cooler", Node=f"U{n}") for n in (1, 2, 3)), types=(COOLER,)))
    assert 'ids = ["U{1..3}"]' in made.toml
    assert (made.equipment, made.tags, made.proposed, made.writable, made.findings) == (3, 9, 3, 0, ())
    tag = plant(made).tags["[default]U2/Temp"]
    assert (tag.address, tag.data_type, tag.unit, tag.signal) == (
        "nsu=urn:p;s=U2.Temp",
        DataType.DOUBLE,
        "degC",
        "temp",
    )


def test_nothing_is_writable_until_somebody_says_so() -> None:
    document = provider(instance("U1", "Cooler", Node="U1"), types=(COOLER,))
    assert plant(mapped(document)).writable == ()
    made = mapped(document, writable=("*Setpoint",))
    (tag,) = plant(made).writable
    assert tag.limits is not None
    assert (tag.path, tag.limits.low, tag.limits.high) == ("[default]U1/SpeedSetpoint", 0.0, 50.5)
    assert "[default]U1/SpeedSetpoint" not in {
        signal.path for signal in plant(made).equipment["U1"].signals.values()
    }


def test_the_proposal_in_comments_is_valid_once_uncommented() -> None:
    made = mapped(provider(instance("U1", "Cooler", Node="U1"), types=(COOLER,)))
    lines = made.toml.splitlines()
    start = lines.index("# [types.cooler.setpoints.speed_setpoint]")
    section = "\n".join(line.removeprefix("# ") for line in lines[start : lines.index("", start)])
    limits = tomllib.loads(section)["types"]["cooler"]["setpoints"]["speed_setpoint"]["limits"]
    assert limits == {"low": 0, "high": 50.5}


@pytest.mark.parametrize("missing", ["engLow", "engHigh"])
def test_without_both_limits_a_tag_is_not_even_proposed(missing: str) -> None:
    setpoint = opc("SpeedSetpoint", "ns=2;s=x", engLow=0.0, engHigh=50.0)
    del setpoint[missing]
    made = mapped(provider(folder("U1", setpoint)), writable=("*Setpoint",))
    assert (made.proposed, made.writable) == (0, 0)
    assert [finding.place for finding in made.findings] == ["*Setpoint"]


@pytest.mark.parametrize(
    "more",
    [
        {"engLow": 5, "engHigh": 5},
        {"engLow": "low", "engHigh": 5},
        {"engLow": 0, "engHigh": {"bindType": "Tag", "value": "[.]Limit"}},
        {"engLow": 0.5, "engHigh": 9, "dataType": "Int2"},
        {"engLow": 0, "engHigh": 99_999, "dataType": "Int2"},
        {"engLow": 0, "engHigh": float("nan")},
    ],
)
def test_limits_that_are_none_are_told_and_not_proposed(more: dict[str, Any]) -> None:
    made = mapped(provider(folder("U1", opc("Speed", "ns=2;s=x", **more))))
    assert made.proposed == 0
    (finding,) = made.findings
    assert finding.place == "U1/Speed"
    assert "not proposed as writable" in finding.what


def test_read_only_is_read_only_wherever_it_is_said() -> None:
    document = provider(
        instance(
            "U1", "Cooler", {"name": "SpeedSetpoint", "tagType": "AtomicTag", "readOnly": True}, Node="U1"
        ),
        types=(COOLER,),
    )
    assert mapped(document).proposed == 0


def test_overrides_make_a_type_of_their_own() -> None:
    document = provider(
        instance("U1", "Cooler", Node="U1"),
        instance(
            "U2", "Cooler", {"name": "SpeedSetpoint", "tagType": "AtomicTag", "engHigh": 25.0}, Node="U2"
        ),
        types=(COOLER,),
    )
    made = mapped(document, writable=("*Setpoint",))
    high = {tag.path: tag.limits.high for tag in plant(made).writable if tag.limits is not None}
    assert high == {"[default]U1/SpeedSetpoint": 50.5, "[default]U2/SpeedSetpoint": 25.0}
    assert set(tomllib.loads(made.toml)["types"]) == {"cooler", "cooler_2"}


def test_types_inherit_members_parameters_and_limits() -> None:
    small = udt(
        "Small",
        {"name": "SpeedSetpoint", "tagType": "AtomicTag", "engHigh": 20.0},
        opc("Extra", bound("nsu=urn:p;s={Node}.{Suffix}")),
        typeId="Base/Cooler",
        parameters={"Suffix": text("E")},
    )
    document = provider(instance("U1", "Small", Node="N1"), types=(folder("Base", COOLER), small))
    assert addresses(mapped(document)) == {
        "[default]U1/Temp": "nsu=urn:p;s=N1.Temp",
        "[default]U1/SpeedSetpoint": "nsu=urn:p;s=N1.Speed",
        "[default]U1/Free": "nsu=urn:p;s=N1.Free",
        "[default]U1/Extra": "nsu=urn:p;s=N1.E",
    }


def test_nested_instances_take_parameters_from_their_owner() -> None:
    line = udt(
        "Line",
        {
            "name": "First",
            "tagType": "UdtInstance",
            "typeId": "Cooler",
            "parameters": {"Node": {"dataType": "String", "value": bound("{Area}_{InstanceName}_1")}},
            "tags": [{"name": "Free", "tagType": "AtomicTag", "opcItemPath": "ns=3;s=own"}],
        },
        folder("Inside", opc("Count", bound("nsu=urn:p;s={Area}/{TagName}"), dataType="Int4")),
        parameters={"Area": text("")},
    )
    made = mapped(provider(folder("Site", instance("L1", "Line", Area="A")), types=(line, COOLER)))
    assert addresses(made) == {
        "[default]Site/L1/First/Temp": "nsu=urn:p;s=A_L1_1.Temp",
        "[default]Site/L1/First/SpeedSetpoint": "nsu=urn:p;s=A_L1_1.Speed",
        "[default]Site/L1/First/Free": "ns=3;s=own",
        "[default]Site/L1/Inside/Count": "nsu=urn:p;s=A/Count",
    }
    assert "first_speed_setpoint" in plant(made).equipment["L1"].signals
    assert "nsu=<URI>" in made.toml  # ns=3 may move


@pytest.mark.parametrize(
    ("binding", "found"),
    [
        ("s={N|000}", "s=007"),
        ("s={N+1}", "s=8"),
        ("s={N-2|00}", "s=05"),
        ("s={InstanceName}/{TagName}", "s=U1/T"),
        ("s={ParentInstanceName}", None),
        ("s={PathToTag}", None),
        ("s={N|##}", None),
        ("s={Empty}", None),
        ("s={Nobody}", None),
        ("s={Word+1}", None),
    ],
)
def test_parameters_are_put_in_or_said_to_be_unresolved(binding: str, found: str | None) -> None:
    parameters = {"N": {"dataType": "Integer", "value": 7}, "Empty": text(""), "Word": text("x")}
    made = tree(
        provider(instance("U1", "T"), types=(udt("T", opc("T", bound(binding)), parameters=parameters),))
    )
    (tag,) = made.tags
    value = tag.properties["opcItemPath"]
    assert isinstance(value, Unresolved) if found is None else value == found


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("[PLC]N7:0", "no OPC UA node id"),
        ("ns=2;s={Node}.T", "takes it literally"),
        ("", "without opcItemPath"),
        (bound("s={Nobody}"), "parameter Nobody does not exist (there are none)"),
        ({"bindType": "Expression", "value": "1"}, "only the gateway knows"),
    ],
)
def test_an_address_that_is_not_certain_leaves_the_tag_out(path: object, reason: str) -> None:
    made = mapped(provider(folder("U1", opc("A", path), opc("B", "ns=2;s=b"))))
    assert list(plant(made).tags) == ["[default]U1/B"]
    (finding,) = made.findings
    assert finding.place == "U1/A"
    assert reason in finding.what


@pytest.mark.parametrize(
    "address",
    ["ns=1;s=[Device]40001", "nsu=urn:x;i=7", "s=A/B", "ns=2;g=09087e75-8e5e-499b-954f-f2a9603db28a"],
)
def test_every_form_of_a_node_id_is_taken_as_it_is(address: str) -> None:
    assert addresses(mapped(provider(folder("U1", opc("A", address))))) == {"[default]U1/A": address}


@pytest.mark.parametrize("data_type", ["DateTime", "DataSet", "Document", "Float8Array", "Decimal", None, 7])
def test_what_the_bridge_cannot_carry_is_left_out(data_type: object) -> None:
    made = mapped(provider(folder("U1", opc("A", "ns=2;s=a", dataType=data_type), opc("B", "ns=2;s=b"))))
    assert list(plant(made).tags) == ["[default]U1/B"]
    assert [finding.place for finding in made.findings] == ["U1/A"]


def test_a_missing_data_type_is_taken_and_told() -> None:
    tag = opc("A", "ns=2;s=a")
    del tag["dataType"]
    made = mapped(provider(folder("U1", tag)))
    assert plant(made).tags["[default]U1/A"].data_type is DataType.INT32
    assert "no dataType" in made.findings[0].what


def test_unknown_types_and_circles_are_told_one_by_one() -> None:
    a = udt("A", {"name": "b", "tagType": "UdtInstance", "typeId": "B"}, opc("Value", "ns=2;s=a"))
    b = udt("B", {"name": "a", "tagType": "UdtInstance", "typeId": "A"})
    c, d = udt("C", typeId="D"), udt("D", typeId="C")
    made = mapped(
        provider(
            instance("I1", "A"),
            instance("I2", "C"),
            instance("I3", "Nobody"),
            {"name": "I4", "tagType": "UdtInstance", "typeID": "A"},
            folder("F", {"name": "X", "tagType": "Tagg"}, opc("Y", "ns=2;s=y"), opc("y", "ns=2;s=z")),
            types=(a, b, c, d),
        )
    )
    told: dict[str, str] = {}
    for finding in made.findings:
        told[finding.place] = f"{told.get(finding.place, '')} {finding.what}"
    assert "the UDT A holds itself: a → b → a" in told["I1/b/a"]
    assert "inherits itself" in told["_types_/C"]
    assert "'C' is not in this file, or is broken" in told["I2"]
    assert "'Nobody' is not in this file" in told["I3"]
    assert "typeID, which Ignition ignores" in told["I4"]
    assert "tagType 'Tagg'" in told["F/X"]
    assert "stands twice" in told["F/y"]
    assert set(plant(made).tags) == {"[default]I1/Value", "[default]F/Y"}


def test_equipment_of_one_name_in_two_places_is_called_by_its_path() -> None:
    made = mapped(
        provider(*(folder(area, folder("P1", opc("Flow", f"nsu=urn:p;s={area}.P1.Flow"))) for area in "AB"))
    )
    assert set(plant(made).equipment) == {"A/P1", "B/P1"}
    assert addresses(made)["[default]B/P1/Flow"] == "nsu=urn:p;s=B.P1.Flow"


def test_a_name_is_put_in_only_where_it_stands_as_a_word() -> None:
    made = mapped(provider(folder("A", opc("T", "ns=2;s=PLANT.A.AT"))))
    assert "s=PLANT.{equipment}.AT" in made.toml
    assert addresses(made) == {"[default]A/T": "ns=2;s=PLANT.A.AT"}


def test_tags_that_are_no_opc_tags_are_reached_through_the_gateway() -> None:
    memory = {"name": "SpeedSetpoint", "tagType": "AtomicTag", "valueSource": "memory", "dataType": "Float4"}
    inside = folder("U1", {**memory, "engLow": 0, "engHigh": 9}, opc("A", "ns=2;s=a"))
    document = provider(inside, opc("Top", "ns=2;s=t"))
    made = mapped(document)
    assert list(plant(made).tags) == ["[default]U1/A"]
    assert {finding.place for finding in made.findings} == {"U1/SpeedSetpoint", "Top"}
    made = mapped(document, via_gateway=True, writable=("*Setpoint",))
    links = {"ignition": {"kind": "opcua", "endpoint": "opc.tcp://h:62541"}, "gateway": {"kind": "gateway"}}
    tags = plant(made, links).tags
    assert tags["[default]U1/A"].address == "nsu=urn:inductiveautomation:ignition:opcua:tags;s=[default]U1/A"
    assert (tags["[default]U1/A"].route, tags["[default]U1/SpeedSetpoint"].route) == (
        Route.OPCUA,
        Route.GATEWAY,
    )


def test_links_are_named_after_the_connection_or_as_wished() -> None:
    document = provider(folder("U1", opc("A", "ns=2;s=a"), opc("B", "ns=2;s=b", opcServer="Other")))
    assert {tag["link"] for tag in _signals(mapped(document, links={"Other": "o"}))} == {"o", None}
    assert tomllib.loads(mapped(document).toml)["types"]["u"]["link"] == "plant_ua"


def _signals(made: TagMap) -> list[dict[str, Any]]:
    return [{"link": None} | tag for tag in tomllib.loads(made.toml)["types"]["u"]["signals"].values()]


def test_only_what_lies_below_a_folder() -> None:
    document = provider(folder("A", folder("U1", opc("T", "ns=2;s=a"))), folder("AB", opc("T", "ns=2;s=b")))
    assert list(plant(mapped(document, under="A")).tags) == ["[default]A/U1/T"]


def test_shipped_rules_are_not_let_loose_on_another_unit() -> None:
    for unit, rules in (("°C", True), ("degC", True), ("degF", False), ("", False)):
        made = mapped(provider(folder("U1", opc("Temperature", "ns=2;s=a", engUnit=unit))))
        assert bool(plant(made).equipment["U1"].rules) is rules


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"tags": [', "not valid JSON"),
        (b"<Tags/>", "an XML export is of Ignition 7"),
        (b"\xff\xfe{", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "wanted an object"),
        (b"{}", "no list of tags"),
        (b'{"tagType": "Report"}', "unknown tagType 'Report'"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(content)
    with pytest.raises(TagFileBroken, match=said):
        resolve(tag_tree.read_tag_file(file), file=str(file))


def test_a_file_beyond_all_measure_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_tree, "LARGEST_BYTES", 10)
    file = tmp_path / "t.json"
    file.write_bytes(b"x" * 11)
    with pytest.raises(TagFileBroken, match="export folder by folder"):
        tag_tree.read_tag_file(file)


@pytest.mark.parametrize(
    "broken",
    [
        {
            "name": "",
            "tagType": "Provider",
            "tags": [1, None, {"name": 3}, {"tagType": "Folder"}, {"name": "a/b"}],
        },
        provider({"name": "F", "tagType": "Folder", "tags": "x"}),
        provider(instance("I", "T"), types=({"name": "T", "tagType": "UdtType", "tags": 5},)),
        provider(instance("I", "T"), types=({"name": "T", "tagType": "UdtType", "tags": [1]},)),
        provider({"name": "I", "tagType": "UdtInstance", "typeId": 3}),
        provider({**instance("I", "T"), "parameters": [1], "tags": 3}, types=(udt("T"),)),
        provider(opc("A", ["x"], opcServer=3, dataType=[], engUnit=None)),
        provider(folder("F", opc("A", ["x"], opcServer=3, dataType=[], engUnit=None))),
    ],
)
def test_nonsense_inside_is_told_and_never_a_traceback(broken: dict[str, Any]) -> None:
    made = mapped(broken)
    assert made.tags == 0


def test_a_branch_is_an_export_too() -> None:
    assert addresses(mapped(folder("U1", opc("A", "ns=2;s=a")))) == {"[default]U1/A": "ns=2;s=a"}
    assert addresses(mapped({"tags": [folder("U1", opc("A", "ns=2;s=a"))]})) == {"[default]U1/A": "ns=2;s=a"}


def test_our_own_tag_file_gives_the_example_plant() -> None:
    made = mapped(
        json.loads((ROOT / "ignition_project/tags/tags.json").read_text(encoding="utf-8")),
        links={"Plant": "plant"},
        writable=("*Setpoint", "CoolingOn"),
    )
    links = {
        "plant": {"kind": "opcua", "endpoint": "opc.tcp://h:1", "namespace": "urn:ignition-bridge:plant"}
    }
    found = plant(made, links)
    example = Plant.of(load(ROOT / "bridge.example.toml"))
    for path, tag in example.tags.items():
        same = found.tags[path]
        assert (same.address, same.data_type, same.writable) == (
            f"nsu=urn:ignition-bridge:plant;{tag.address}",
            tag.data_type,
            tag.writable,
        )
    (left_out,) = (finding for finding in made.findings if tag_map.OWN_NAMESPACE in finding.what)
    assert left_out.place.startswith("Bridge Agent/")
    assert tag_map.OWN_NAMESPACE not in made.toml


def test_what_is_exported_comes_back() -> None:
    settings = load(ROOT / "bridge.example.toml")
    before = Plant.of(settings)
    document = tag_map.export_tags(settings, before, provider="default", opc_servers={"plant": "Plant UA"})
    made = mapped(json.loads(json.dumps(document)), links={"Plant UA": "plant"}, writable=("*",))
    after = plant(made, {"plant": {"kind": "opcua", "endpoint": "opc.tcp://h:1"}})
    assert made.findings == ()
    assert after.tags.keys() == before.tags.keys()
    for path, tag in before.tags.items():
        same = after.tags[path]
        assert (same.data_type, same.unit, same.writable) == (tag.data_type, tag.unit, tag.writable)
        assert same.address == f"nsu=urn:ignition-bridge:plant;{tag.address}"
        if tag.limits is not None and same.limits is not None:
            assert (same.limits.low, same.limits.high) == (tag.limits.low, tag.limits.high)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("[other]{equipment}/T", "of provider 'other'"),
        ("[default]Site/T", "has no place in a UDT"),
        ("{equipment}/T", "has no place in a UDT"),
    ],
)
def test_a_tag_without_a_place_in_a_udt_is_refused(tag: str, said: str) -> None:
    settings = Settings(
        links={"p": {"kind": "opcua", "endpoint": "opc.tcp://h:1"}},
        types={"pump": {"link": "p", "signals": {"t": {"tag": tag, "address": "s={equipment}"}}}},
        equipment=({"ids": ("P1",), "type": "pump"},),
    )
    with pytest.raises(ConfigError, match=said):
        tag_map.export_tags(settings, Plant.of(settings), provider="default", opc_servers={})
