"""Advice as data: what a model's answer may hold, and what is taken out of it by name."""

from __future__ import annotations

import time
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.advice import (
    EXPLANATION_MOST,
    REMARKS_MOST,
    ROOT_CAUSE_MOST,
    Advice,
    AdviceSource,
    Case,
    Option,
    Provenance,
    candidates_in,
    options_of,
    plain,
    validated,
    writes_in_words,
)
from bridge.domain.anomaly import Severity
from bridge.domain.recommendation import Remedy, SetpointChange, remedies_for, remedy_for

CASE = Case(
    recommendation_id="R-1",
    equipment_id="REACTOR_01",
    equipment_type="reactor",
    issue_type="high_temperature",
    severity=Severity.HIGH,
    detail="",
    since_utc=None,
    root_cause="",
    options=(Option(name="slow_down", description="x"), Option(name="cool", description="y")),
)
SAID = Advice(
    root_cause="The pump.",
    explanation="It was replaced.",
    candidates=("cool",),
    confidence=0.5,
    provenance=Provenance(source=AdviceSource.LLM, model="m"),
)


def test_what_is_in_order_comes_out_as_it_went_in() -> None:
    assert validated(SAID, CASE) == SAID


def test_candidates_keep_their_order_once_each_and_only_configured_names() -> None:
    found = validated(replace(SAID, candidates=("cool", "open_valve", "slow_down", "cool", "Cool")), CASE)
    assert found.candidates == ("cool", "slow_down")
    assert [item.what for item in found.refused] == ["remedy open_valve", "remedy Cool"]
    assert "configured: slow_down, cool" in found.refused[0].why


@given(st.lists(st.text(), max_size=8))
def test_no_text_whatever_becomes_a_candidate(names: list[str]) -> None:
    """The one way into a proposal is equality with a configured name."""
    found = validated(replace(SAID, candidates=tuple(names)), CASE)
    assert set(found.candidates) <= {"slow_down", "cool"}
    assert set(found.candidates) == set(names) & {"slow_down", "cool"}


@given(st.text(max_size=3000), st.text(max_size=9000), st.lists(st.text(), max_size=30))
def test_validating_twice_is_validating_once(root_cause: str, explanation: str, names: list[str]) -> None:
    advice = replace(SAID, root_cause=root_cause, explanation=explanation, candidates=tuple(names))
    once = validated(advice, CASE)
    assert validated(once, CASE) == once
    assert len(once.refused) <= REMARKS_MOST


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan"), float("inf"), True, "0.9"], ids=repr)
def test_confidence_that_is_none_is_left_out(confidence: float) -> None:
    found = validated(replace(SAID, confidence=confidence), CASE)
    assert found.confidence is None
    assert "confidence" in found.refused[0].what


@given(st.text(), st.integers(min_value=2, max_value=60))
def test_a_plain_text_is_bounded_and_controls_nothing(text: str, most: int) -> None:
    for one_line in (False, True):
        found = plain(text, most, one_line=one_line)
        assert len(found) <= most
        assert all(unicodedata.category(sign)[0] != "C" or sign == "\n" for sign in found)
        assert not (one_line and "\n" in found)
        assert plain(found, most, one_line=one_line) == found
        assert "\ufffe" not in found
        found.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  a\tb \r\n\r\n\r\n\nc\u2028d  ", "a b\n\nc\nd"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("safe\u202e txt.exe\u2069", "safe txt.exe"),
        ("zero\u200bwidth\ufeff \ud800half", "zerowidth half"),
        ("<script>alert('x')</script>", "<script>alert('x')</script>"),  # text, and shown as text
        ("", ""),
        ("\x00\x07", ""),
    ],
)
def test_what_is_left_of_a_text(text: str, wanted: str) -> None:
    assert plain(text, 200) == wanted


def test_ten_megabytes_cost_no_time_and_leave_little() -> None:
    """A model may say anything, at any length."""
    huge = "Set [default]A/B to 1 \u202e\n" * 400_000
    started_s = time.thread_time()
    found = validated(
        replace(
            SAID,
            root_cause=huge,
            explanation=huge,
            candidates=(huge,) * 100,
            provenance=replace(SAID.provenance, sql=huge),
        ),
        CASE,
    )
    assert time.thread_time() - started_s < 1.0, "a pattern that goes back and forth takes minutes"
    assert len(found.root_cause) <= ROOT_CAUSE_MOST
    assert len(found.explanation) <= EXPLANATION_MOST
    assert found.candidates == ()
    assert len(found.provenance.sql) <= 4000
    assert all(len(str(item)) < 500 for item in found.refused)


@pytest.mark.parametrize(
    "text",
    [
        "Set [default]REACTOR_01/ThroughputSetpoint to 900.",
        "[default]REACTOR_01/CoolingOn := true",
        "then [default]R/Speed = 7.5",
        "set: throughput 900",
        "- **Tag**: [default]R/Speed",
        "new_value = 900",
        "run INSERT  INTO agent_commands values (1)",
        "update agent_recommendations set status = 'approved'",
        "'; DROP TABLE agent_audit; --",
        "DELETE FROM approvals",
        "create role intruder superuser",
    ],
)
def test_a_write_in_words_is_remarked_on(text: str) -> None:
    """It stays text and gets a remark, so that a person sees what the model wanted."""
    found = validated(replace(SAID, explanation=text), CASE)
    assert found.explanation == text
    assert len(found.refused) >= 1
    assert "a write in words" in found.refused[0].why


@pytest.mark.parametrize(
    "text",
    [
        "The pump was set up wrongly, and the value of the flow fell to 12 l/min.",
        "[default]REACTOR_01/Temperature rose after 10:00.",
        "An update of the firmware set the pump back; insert a new filter.",
        "Throughput went from 500 to 450 kg/h.",
    ],
)
def test_ordinary_words_are_not_remarked_on(text: str) -> None:
    assert writes_in_words(text) == ()


@pytest.mark.parametrize(
    "text", ["[" * 4000, "[a" * 2000 + "]", "[a]" + "/" * 3990, "update " * 600, "remedy" * 700]
)
def test_no_text_keeps_the_patterns_busy(text: str) -> None:
    started_s = time.thread_time()
    writes_in_words(text)
    candidates_in(text, ())
    assert time.thread_time() - started_s < 0.5, "a pattern that goes back and forth takes minutes"


@pytest.mark.parametrize(
    ("text", "rows", "wanted"),
    [
        ("remedy: cool", [], ("cool",)),
        ("So:\n\n**Remedy:** `cool`.\n", [], ("cool",)),
        ("- Remedy: cool\n- remedy: slow_down", [], ("cool", "slow_down")),
        ("cool is best; use the remedy cool", [], ()),
        ("remedy: none", [], ()),
        ("Remedy: set the throughput to 900", [], ("set the throughput to 900",)),
        (
            "remedy: cool",
            [{"remedy": "slow_down", "n": 3}, {"remedy": None}, {"remedy": 7}],
            ("slow_down", "7", "cool"),
        ),
        ("", [{"best": "cool"}], ()),
    ],
)
def test_names_count_in_two_places_only(
    text: str, rows: list[dict[str, object]], wanted: tuple[str, ...]
) -> None:
    assert candidates_in(text, rows) == wanted


def remedy(name: str, severity: Severity, *changes: SetpointChange) -> Remedy:
    return Remedy(issue_type="hot", severity=severity, action=name.title(), changes=changes, name=name)


def test_options_are_what_the_severity_allows_with_the_rules_choice_first() -> None:
    remedies = [
        remedy("mild", Severity.MEDIUM, SetpointChange(setpoint="throughput", change_percent=-10)),
        remedy("strong", Severity.HIGH, SetpointChange(setpoint="cooling", value=True)),
        remedy("as_strong", Severity.HIGH),
        remedy("drastic", Severity.CRITICAL),
    ]
    allowed = remedies_for(remedies, "hot", Severity.HIGH)
    assert [item.name for item in allowed] == ["strong", "as_strong", "mild"]
    assert remedy_for(remedies, "hot", Severity.HIGH) is allowed[0]
    assert remedies_for(remedies, "cold", Severity.HIGH) == ()
    assert [option.description for option in options_of(allowed)] == [
        "Strong (changes: cooling = true)",
        "As_Strong (no tag is written: a person has to act)",
        "Mild (changes: throughput -10 %)",
    ]
