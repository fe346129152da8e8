"""Advice: what an advisor (Genie, a language model) says about one case. Words for people, and nothing that writes.

A model's text is data. All that it may select is the name of a remedy that the control engineer configured for
this very issue and severity; whatever else looks like a write is refused by name and kept as a remark. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice

from bridge.domain.anomaly import Severity
from bridge.domain.recommendation import Remedy
from bridge.domain.tag import Value

ROOT_CAUSE_MOST = 600  # characters, as all of these
EXPLANATION_MOST = 4000
SQL_MOST = 4000
WORDS_MOST = 200
REMARKS_MOST = 12  # refusals that are kept of one answer
_CANDIDATES_MOST = 50


class AdviceSource(StrEnum):
    """Who advised; also the word in `agent_recommendations.source`."""

    GENIE = "genie"
    LLM = "llm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """One signal or set-point of the equipment now. value: None where it cannot be relied on; quality says why."""

    name: str
    value: Value | None
    unit: str
    quality: str
    age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """One signal over the last minutes: averages of equal stretches of time, oldest first, and the extremes."""

    name: str
    unit: str
    minutes: float
    averages: tuple[float, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A configured remedy as an advisor may choose it: by this name alone."""

    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An earlier recommendation of the same issue: what was proposed, decided, and how it ended."""

    equipment_id: str
    severity: str
    decision: str
    ended: str
    reason: str
    result: str
    ago_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What an advisor is asked about: one recommendation and everything known around it.

    `options` are the remedies that may be chosen, as the rules rank them: the first is the one they propose.
    """

    recommendation_id: str
    equipment_id: str
    equipment_type: str
    issue_type: str
    severity: Severity
    detail: str
    since_utc: datetime | None
    root_cause: str
    readings: tuple[Present, ...] = ()
    lately: tuple[Lately, ...] = ()
    options: tuple[Option, ...] = ()
    decided: tuple[Decided, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an advice comes from, so that a person can look it up. Empty texts: there is no such thing.

    rows: how many rows the query gave; None without a query.
    """

    source: AdviceSource
    model: str = ""
    space: str = ""
    conversation_id: str = ""
    message_id: str = ""
    sql: str = ""
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something in an answer that was not taken over, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """An advisor's answer. `candidates` are names of configured remedies, preferred first; empty: none named.

    confidence: 0 to 1 as the advisor rates itself, which no rule relies on; None when it does not say.
    Only `validated` makes one that may be used.
    """

    root_cause: str
    explanation: str
    candidates: tuple[str, ...]
    confidence: float | None
    provenance: Provenance
    refused: tuple[Refused, ...] = ()

    @property
    def says_nothing(self) -> bool:
        """True when there is no word for a person in it."""
        return not self.root_cause and not self.explanation


def options_of(remedies: Sequence[Remedy]) -> tuple[Option, ...]:
    """Remedies as an advisor is told of them."""
    return tuple(
        Option(name=remedy.name, description=remedy_in_words(remedy)) for remedy in remedies if remedy.name
    )


def remedy_in_words(remedy: Remedy) -> str:
    """`Reduce throughput by 10 % (changes: throughput -10 %; expected: …)`."""
    changes = ", ".join(
        f"{change.setpoint} {change.change_percent:+g} %"
        if change.change_percent is not None
        else f"{change.setpoint} = {_shown(change.value)}"
        for change in remedy.changes
    )
    told = [f"changes: {changes}" if changes else "no tag is written: a person has to act"]
    if remedy.expected_outcome:
        told.append(f"expected: {remedy.expected_outcome}")
    return f"{remedy.action} ({'; '.join(told)})"


def validated(advice: Advice, case: Case) -> Advice:
    """The advice with everything taken out that it may not hold, each with a remark in `refused`.

    Candidates are names from `case.options`, each once, in their order. Texts are bounded and without control
    characters. What asks in words for a write stays in the text, as text, and is remarked on. An advice that
    went through already comes out the same.
    """
    offered = {option.name for option in case.options}
    candidates: list[str] = []
    refused: list[Refused] = list(advice.refused)
    for name in advice.candidates[:_CANDIDATES_MOST]:
        if name not in offered:
            refused.append(_unknown_remedy(name, case))
        elif name not in candidates:
            candidates.append(name)
    confidence = advice.confidence
    if confidence is not None and not _is_share(confidence):
        refused.append(
            Refused(what=f"confidence {_shown(confidence)}", why="wanted a number from 0 to 1; left out")
        )
        confidence = None
    root_cause = plain(advice.root_cause, ROOT_CAUSE_MOST, one_line=True)
    explanation = plain(advice.explanation, EXPLANATION_MOST)
    refused.extend(writes_in_words(f"{root_cause}\n{explanation}"))
    return replace(
        advice,
        root_cause=root_cause,
        explanation=explanation,
        candidates=tuple(candidates),
        confidence=confidence,
        provenance=_bounded(advice.provenance),
        refused=_kept(refused),
    )


_REMEDY_LINE = re.compile(r"^[ \t*_`#>-]*remedy[ \t*_`]*:(?P<name>[^\n]*)$", re.IGNORECASE | re.MULTILINE)
_AROUND_A_NAME = " \t*`\"'."


def candidates_in(text: str, rows: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Names given in the two places that count: a column `remedy` of a result, then lines `remedy: NAME` of a text.

    The names may be anybody's; `validated` keeps the configured ones. A name elsewhere in a text selects nothing.
    """
    found = [str(row["remedy"]).strip() for row in rows if row.get("remedy") is not None]
    lines = _REMEDY_LINE.finditer(plain(text, EXPLANATION_MOST))
    found += [match["name"].strip(_AROUND_A_NAME) for match in lines]
    named = dict.fromkeys(name for name in found if name and name.lower() != "none")
    return tuple(islice(named, _CANDIDATES_MOST))


# What a person would read as "write this value to that tag", and statements that change data. It is only remarked
# on: nothing reads values or tags out of a text.
_WRITES = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"\[[\w .-]{1,40}\][\w/.-]{1,160}\s{0,3}(?::=|=|\bto\b|→)\s{0,3}(?:[-+]?\d[\d.,]*|true\b|false\b)",
        r"^[ \t*_`#>-]{0,10}(?:set|write|tag|tag_path|setpoint|value|new_value|command)[ \t*_`]{0,5}[:=][^\n]{1,80}",
        r"\b(?:insert\s{1,5}into|delete\s{1,5}from|merge\s{1,5}into|truncate\s{1,5}table|alter\s{1,5}table)"
        r"\s{1,5}[\w.\"`]{1,80}",
        r"\b(?:drop|create)\s{1,5}(?:table|view|schema|catalog|database|role|user)\b[^\n;]{0,60}",
        r"\bupdate\s{1,5}[\w.\"`]{1,80}\s{1,5}set\b[^\n;]{0,80}",
    )
)


def writes_in_words(text: str) -> tuple[Refused, ...]:
    """What in a bounded text asks for a write, as remarks; what is not found here has no more power than what is."""
    return tuple(
        Refused(
            what=plain(match.group(), 120, one_line=True),
            why="a write in words; exact writes come from configured remedies alone",
        )
        for pattern in _WRITES
        for match in pattern.finditer(text)
    )


def plain(text: str, most: int, *, one_line: bool = False) -> str:
    """A foreign text as data: at most so many characters, nothing that controls a screen, a terminal or a log.

    Control and formatting characters (among them those that turn the writing direction) and half surrogate pairs
    are left out, breaks of all kinds become line feeds, or blanks in `one_line`. A cut text ends with an ellipsis.
    """
    # Much more than `most` is never looked at: an answer of megabytes must not cost seconds.
    looked_at = unicodedata.normalize("NFC", text[: 4 * most].replace("\r\n", "\n"))
    kept = "".join(_kept_signs(looked_at))
    if one_line:
        found = " ".join(kept.split())
    else:
        found = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in kept.split("\n"))).strip()
    cut = len(text) > 4 * most or len(found) > most
    return f"{found[: most - 1].rstrip()}…" if cut and found else found


def _kept_signs(text: str) -> Iterator[str]:
    for sign in text:
        if sign.isascii() and sign.isprintable():
            yield sign
        elif sign in "\n\r\x0b\x0c\x85\u2028\u2029":
            yield "\n"
        elif sign == "\t" or (kind := unicodedata.category(sign)) == "Zs":
            yield " "
        elif kind[0] != "C":
            yield sign


def _unknown_remedy(name: object, case: Case) -> Refused:
    known = ", ".join(option.name for option in case.options) or "none"
    return Refused(
        what=f"remedy {plain(str(name), 120, one_line=True) or 'without a name'}",
        why=f"not configured for {case.issue_type} at {case.severity}; configured: {known}",
    )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else plain(str(value), 60, one_line=True)


def _bounded(provenance: Provenance) -> Provenance:
    return replace(
        provenance,
        model=plain(provenance.model, WORDS_MOST, one_line=True),
        space=plain(provenance.space, WORDS_MOST, one_line=True),
        conversation_id=plain(provenance.conversation_id, WORDS_MOST, one_line=True),
        message_id=plain(provenance.message_id, WORDS_MOST, one_line=True),
        sql=plain(provenance.sql, SQL_MOST),
    )


def _kept(refused: Sequence[Refused]) -> tuple[Refused, ...]:
    bounded = dict.fromkeys(
        Refused(
            what=plain(item.what, WORDS_MOST, one_line=True), why=plain(item.why, WORDS_MOST, one_line=True)
        )
        for item in refused
    )
    if len(bounded) <= REMARKS_MOST:
        return tuple(bounded)
    first = tuple(item for item in bounded if item.what != _MORE)[: REMARKS_MOST - 1]
    return (*first, Refused(what=_MORE, why="left out of this list"))


_MORE = "further refusals"
