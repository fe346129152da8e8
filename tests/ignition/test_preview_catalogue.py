"""The bridge and the preview know the same parts of Perspective, and read the same expressions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.ignition import perspective_parts, view_expressions
from bridge.ignition.view_expressions import ExpressionBroken, read_expression
from simulator.gateway import expressions
from simulator.gateway.perspective import catalogue

CLIENT = Path(catalogue.__file__).parent / "client"


def test_the_same_components_with_the_same_events() -> None:
    assert {name: part.events for name, part in perspective_parts.COMPONENTS.items()} == {
        name: part.events for name, part in catalogue.COMPONENTS.items()
    }


@pytest.mark.parametrize("name", sorted(catalogue.COMPONENTS))
def test_the_same_properties_of_each_component(name: str) -> None:
    assert perspective_parts.COMPONENTS[name].props == catalogue.COMPONENTS[name].props


def test_what_a_person_changes_is_a_property_that_both_know() -> None:
    for name, part in catalogue.COMPONENTS.items():
        assert {path.partition(".")[0] for path in part.inputs} <= part.props, name


@pytest.mark.parametrize(
    "names",
    [
        *("BINDINGS", "TRANSFORMS", "ACTIONS", "DOM_EVENTS", "SYSTEM_EVENTS", "RETURN_FORMATS", "DIRECTIONS"),
        *("TABLE_RENDERS", "ORDERS", "ACCESS", "SHOWN"),
    ],
)
def test_the_same_words(names: str) -> None:
    assert getattr(perspective_parts, names) == getattr(catalogue, names)


def test_the_same_functions_with_the_same_arguments() -> None:
    preview = {name: (low, high) for name, (low, high, _) in expressions.FUNCTIONS.items()}
    assert dict(view_expressions.FUNCTIONS) == preview


def test_what_is_drawn_is_not_listed_as_not_drawn() -> None:
    drawn = perspective_parts.COMPONENTS.keys()
    assert not drawn & perspective_parts.NOT_DRAWN
    assert not perspective_parts.DOM_EVENTS & perspective_parts.DOM_EVENTS_NOT_DRAWN
    for part in perspective_parts.COMPONENTS.values():
        assert not part.props & part.also_props
        assert not part.events & part.also_events


EXPRESSIONS: dict[str, bool] = {
    "1": True,
    ".5 + 1.": True,
    "1.5e3": True,
    "1e3": False,
    "'a' + \"b\"": True,
    "'it\\'s'": True,
    "'open": False,
    "{view.custom.a[0].b} > 3 && !{this.props.enabled}": True,
    "{[default]A/B.Quality} = 'Good'": True,
    "{}": False,
    "{a": False,
    "{a{b}}": False,
    "": False,
    "   ": False,
    "TRUE || false || NULL": True,
    "open": False,
    "if(1, 2, 3)": True,
    "if(1, 2)": False,
    "if (1, 2, 3)": True,
    "now()": True,
    "now(1000)": True,
    "now(1, 2)": False,
    "now(": False,
    "now(1,)": False,
    "coalesce()": False,
    "coalesce({a}, {b}, 3)": True,
    "switch(1, 1, 'a', 'b')": True,
    "nosuch(1)": False,
    "Round(1)": False,
    "stringFormat('%s', 1)": False,
    "-2 ^ -3": True,
    "2 ^ 3 ^ 2": True,
    "- - 1": True,
    "!!true": True,
    "1 +": False,
    "* 2": False,
    "1 2": False,
    "1 == 1": False,
    "1 = 1 != 2": True,
    "1 < 2 < 3": True,
    "1 <> 2": False,
    "a.b": False,
    "{a}[0]": True,
    "{a}[0, 'column']": True,
    "{a}[0]['x']": True,
    "{a}[]": False,
    "{a}[0, 1, 2]": False,
    "{a} like 'x%'": False,
    "1 & 2": False,
    "1 | 2": False,
    "1 // comment": False,
    "$": False,
    "(1": False,
    "1)": False,
    "()": False,
    "case(1, 1, 'a', 'b')": True,
    "case(1, 1, 'a')": False,
    "{ blank } + 1": True,
    "'line\nbreak'": True,
    "(" * 40 + "1" + ")" * 40: True,
    "(" * 200 + "1" + ")" * 200: False,
    "-" * 90 + "1": True,
    "-" * 200 + "1": False,
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_one_grammar_read_twice(text: str) -> None:
    assert _bridge(text) == EXPRESSIONS[text]
    assert _preview(text) == EXPRESSIONS[text]


def _bridge(text: str) -> bool:
    try:
        return all(call.problem is None for call in read_expression(text).calls)
    except ExpressionBroken:
        return False


def _preview(text: str) -> bool:
    try:
        expressions.parse(text)
    except expressions.ExpressionError:
        return False
    return True


def test_the_same_references() -> None:
    for text in (text for text, good in EXPRESSIONS.items() if good):
        assert list(dict.fromkeys(read_expression(text).references)) == list(
            expressions.parse(text).references
        )


def test_the_client_draws_the_same_icons() -> None:
    files = [file for file in CLIENT.rglob("*.js") if "icon" in file.name.lower()]
    assert files, f"no file of icons below {CLIENT}"
    told = {
        word for file in files for word in re.findall(r"[a-z][a-z0-9_]*", file.read_text(encoding="utf-8"))
    }
    assert told >= perspective_parts.ICONS
