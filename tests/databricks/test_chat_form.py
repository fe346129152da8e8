"""Is a model's JSON taken only when it is exactly the form that was asked for?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.databricks.answer_form import LONGEST, AnswerForm
from bridge.databricks.chat import ChatAnswer, Finish, formed
from bridge.errors import AnswerUnusable

# Nothing here is about time, and the machine may be busy.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["cause", "sure", "count", "tags", "note", "where"],
    "properties": {
        "cause": {"type": "string", "description": "why", "minLength": 2, "maxLength": 20},
        "sure": {"type": "number", "minimum": 0, "maximum": 1},
        "count": {"type": "integer"},
        "tags": {"type": "array", "maxItems": 2, "items": {"type": "string", "enum": ["cool", "stop"]}},
        "note": {"type": ["string", "null"]},
        "where": {
            "type": "object",
            "additionalProperties": False,
            "required": ["room"],
            "properties": {"room": {"type": "boolean"}},
        },
    },
}
GOOD: dict[str, Any] = {
    "cause": "water",
    "sure": 0.5,
    "count": 3,
    "tags": ["cool"],
    "note": None,
    "where": {"room": True},
}


@pytest.fixture
def form() -> AnswerForm:
    return AnswerForm(name="advice", schema=SCHEMA)


def bent(path: str, value: object) -> str:
    found = json.loads(json.dumps(GOOD))
    place = found
    *ways, last = path.split(".")
    for way in ways:
        place = place[way]
    place[last] = value
    return json.dumps(found)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        f"\n  {json.dumps(GOOD, indent=2)}\n",
        f"```json\n{json.dumps(GOOD)}\n```",
        f"```\n{json.dumps(GOOD, indent=1)}\n```\n",
        bent("sure", 1),
        bent("note", "x"),
    ],
)
def test_the_form_is_taken(form: AnswerForm, text: str) -> None:
    """White space and a fence around all of it do not change what is in it."""
    assert set(form.read(text)) == set(GOOD)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("The cause is water.", "not JSON: it begins with 'The cause is water.'"),
        (f"Here it is: {json.dumps(GOOD)}", "not JSON"),
        (f"{json.dumps(GOOD)} Good luck!", "not JSON"),
        (f"Sure!\n```json\n{json.dumps(GOOD)}\n```", "not JSON"),
        (f"```json\n{json.dumps(GOOD)}\n```\nDone.", "not JSON"),
        (f"```yaml\n{json.dumps(GOOD)}\n```", "not JSON"),
        (json.dumps(GOOD)[:-5], "not JSON"),
        (json.dumps(GOOD).replace('"', "'"), "not JSON"),
        ("[" * 100_000, "not JSON"),
        (json.dumps([GOOD]), "wanted an object, found a list"),
        ("null", "wanted an object, found null"),
        (bent("sure", "0.5"), "sure: wanted a number, found a text"),
        (bent("sure", True), "sure: wanted a number, found a boolean"),
        (bent("count", "3"), "count: wanted a whole number, found a text"),
        (bent("count", 3.0), "count: wanted a whole number, found a number"),
        (bent("cause", None), "cause: wanted a text, found null"),
        (bent("note", 5), "note: wanted a text or null, found a number"),
        (bent("sure", 1.01), "sure: wanted at most 1, found 1.01"),
        (bent("sure", -1), "sure: wanted at least 0, found -1"),
        (bent("cause", "x"), "cause: wanted at least 2 characters, found 1"),
        (bent("cause", "x" * 21), "cause: wanted at most 20 characters, found 21"),
        (bent("tags", ["cool"] * 3), "tags: wanted at most 2 items, found 3"),
        (bent("tags", ["open"]), r"tags\[0\]: wanted one of 'cool', 'stop', found 'open'"),
        (bent("tags", "cool"), "tags: wanted a list, found a text"),
        (bent("where.room", 1), "where: room: wanted true or false, found a number"),
        (bent("where.door", True), "where: holds what nobody asked for: 'door'"),
        (bent("tag_path", "[default]REACTOR_02/Trip"), "holds what nobody asked for: 'tag_path'"),
        (json.dumps({name: GOOD[name] for name in GOOD if name not in ("note", "sure")}), "lacks sure, note"),
        (json.dumps(GOOD).replace("0.5", "NaN"), "NaN is no JSON number"),
        (json.dumps(GOOD).replace("0.5", "-Infinity"), "-Infinity is no JSON number"),
        (json.dumps(GOOD).replace("0.5", "1e999"), "sure: wanted a number"),
        (json.dumps(GOOD)[:-1] + ', "cause": "fire"}', "names one key twice"),
        ("x" * (LONGEST + 1), "at most 100000 are read"),
    ],
)
def test_everything_else_is_refused_with_what_was_wanted_and_what_came(
    form: AnswerForm, text: str, says: str
) -> None:
    with pytest.raises(AnswerUnusable, match=says):
        form.read(text)


def test_a_number_of_any_size_is_no_crash(form: AnswerForm) -> None:
    with pytest.raises(AnswerUnusable, match="at most 1"):
        form.read(json.dumps(GOOD).replace("0.5", "1" + "0" * 400))


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(list(GOOD)) | st.text(max_size=3), inner)
    ),
    max_leaves=8,
)


@UNHURRIED
@given(found=st.fixed_dictionaries({name: JSONS | st.just(good) for name, good in GOOD.items()}) | JSONS)
def test_what_is_taken_keeps_the_form(found: object) -> None:
    """Whatever a model says: either it is refused, or every field is of its type and within its limits."""
    try:
        taken = AnswerForm(name="advice", schema=SCHEMA).read(json.dumps(found))
    except AnswerUnusable:
        return
    assert set(taken) == set(GOOD)
    assert isinstance(taken["cause"], str)
    assert 2 <= len(taken["cause"]) <= 20
    assert isinstance(taken["sure"], int | float)
    assert 0 <= taken["sure"] <= 1
    assert type(taken["count"]) is int
    assert isinstance(taken["tags"], list)
    assert set(taken["tags"]) <= {"cool", "stop"}
    assert taken["where"] in ({"room": True}, {"room": False})


def test_limits_are_checked_here_and_not_sent(form: AnswerForm) -> None:
    """Servers refuse or ignore them; everything else goes as it is."""
    wire = form.wire()

    assert wire["properties"]["cause"] == {"type": "string", "description": "why"}  # type: ignore[index]
    assert wire["properties"]["tags"] == {  # type: ignore[index]
        "type": "array",
        "items": {"type": "string", "enum": ["cool", "stop"]},
    }
    assert (wire["required"], wire["additionalProperties"]) == (SCHEMA["required"], False)
    assert SCHEMA["properties"]["cause"]["minLength"] == 2


@pytest.mark.parametrize(
    ("name", "schema", "says"),
    [
        ("a b", SCHEMA, "name: wanted 1 to 64"),
        ("", SCHEMA, "name: wanted 1 to 64"),
        ("f", {"type": "array", "items": {"type": "string"}}, "an object at the top"),
        ("f", {"type": "object", "properties": {}, "required": []}, "additionalProperties has to be false"),
        ("f", SCHEMA | {"required": ["cause"]}, "required has to name every property"),
        ("f", SCHEMA | {"anyOf": []}, "anyOf: not in the subset"),
        (
            "f",
            SCHEMA | {"properties": SCHEMA["properties"] | {"note": {"$ref": "#/x"}}},
            r"f.note: \$ref: not in",
        ),
        (
            "f",
            SCHEMA | {"properties": SCHEMA["properties"] | {"note": {"type": "date"}}},
            "f.note: type: wanted",
        ),
        (
            "f",
            SCHEMA | {"properties": SCHEMA["properties"] | {"note": {"type": "array"}}},
            r"f.note\[\]: type",
        ),
        (
            "f",
            SCHEMA | {"properties": SCHEMA["properties"] | {"note": {"type": "string", "pattern": "x"}}},
            "pattern",
        ),
    ],
)
def test_a_form_that_servers_refuse_or_we_cannot_check_is_none(name: str, schema: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        AnswerForm(name=name, schema=schema)


def test_a_form_of_too_many_fields_or_levels_is_none() -> None:
    names = [f"n{number}" for number in range(65)]
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(6):
        deep = {"type": "object", "additionalProperties": False, "required": ["x"], "properties": {"x": deep}}

    with pytest.raises(ValueError, match="65 fields; servers take 64"):
        AnswerForm(
            name="f",
            schema=SCHEMA | {"required": names, "properties": {name: {"type": "string"} for name in names}},
        )
    with pytest.raises(ValueError, match="deeper than 6 levels"):
        AnswerForm(name="f", schema=deep)


def test_an_answer_cut_by_max_tokens_is_told_as_such(form: AnswerForm) -> None:
    """Half a JSON object is not called bad JSON: more tokens mend it."""
    with pytest.raises(AnswerUnusable, match="cut short by max_tokens after 10 characters"):
        formed(ChatAnswer(texts=(json.dumps(GOOD)[:10],), finish=Finish.LENGTH), form)
    with pytest.raises(AnswerUnusable, match="cut short by max_tokens after 0 characters"):
        formed(ChatAnswer(texts=(), finish=Finish.LENGTH), form)


def test_an_answer_without_words_says_what_it_wanted_instead(form: AnswerForm) -> None:
    with pytest.raises(AnswerUnusable, match="no words in it; it wants to use open_valve"):
        formed(ChatAnswer(texts=(), finish=Finish.TOOL_CALLS, tools=("open_valve",)), form)


def test_of_an_agents_messages_the_last_is_the_answer(form: AnswerForm) -> None:
    answer = ChatAnswer(texts=("I look at the history first.", json.dumps(GOOD)), finish=Finish.STOP)

    assert formed(answer, form) == GOOD
