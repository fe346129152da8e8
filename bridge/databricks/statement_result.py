"""What a SQL statement gave, as the workspace writes it in JSON: columns with types, rows of text, chunks. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from bridge.databricks.answers import plain
from bridge.databricks.fields import Fields, fit, kind
from bridge.errors import AnswerMalformed

MOST_ROWS = 5_000
MOST_CHARACTERS = 8 * 2**20

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")  # int() takes more than that, such as 1_000
_FINITE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_NUMBER = re.compile(rf"{_FINITE.pattern}|[+-]?(?:NaN|Inf(?:inity)?)", re.IGNORECASE)

Cell = str | int | float | bool | Decimal | date | datetime | None


class StatementState(StrEnum):
    """Where a statement is; CLOSED means that it succeeded and its result is gone."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    CLOSED = "CLOSED"
    OTHER = ""  # a state that is newer than we are; `Statement.said` has its name


_STATES = {state.value: state for state in StatementState if state.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a result. type_name: the workspace's word for its type, such as LONG, DECIMAL or TIMESTAMP."""

    name: str
    type_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows that came.

    Whole numbers are int, DOUBLE and FLOAT float (NaN and infinities included), DECIMAL Decimal, DATE date, TIMESTAMP
    an aware datetime. Text as it came: a TIMESTAMP without a zone, a day beyond what Python can hold, and every
    other type (TIMESTAMP_NTZ, ARRAY, STRUCT, INTERVAL, BINARY …). None is SQL's NULL.
    total_rows: rows that the statement gave in all, None when the workspace does not say. truncated: there are more
    rows than these, because the workspace cut them, sent only a first chunk, or we read no more.
    """

    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    total_rows: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement as it is now.

    said: its state in the workspace's word. error: why it failed, for a person. table: None while there is no
    result, and when it is gone.
    """

    statement_id: str
    state: StatementState
    said: str
    error_code: str = ""
    error: str = ""
    table: Table | None = None

    @property
    def running(self) -> bool:
        """Whether its result is still to come; a state we do not know counts as such, until the deadline."""
        return self.state in (StatementState.PENDING, StatementState.RUNNING, StatementState.OTHER)


def read(response: Fields, *, most_rows: int = MOST_ROWS) -> Statement:
    """Read a `statement_response`. AnswerMalformed says which column or row is not as promised."""
    status = response.needed("status")
    said = status.text("state")
    state = _STATES.get(said, StatementState.OTHER)
    error = status.part("error")
    manifest, result = response.part("manifest"), response.part("result")
    if state is StatementState.SUCCEEDED:
        manifest = response.needed("manifest")
    finished = state is StatementState.SUCCEEDED or (state is StatementState.CLOSED and result is not None)
    table = _table(manifest, result, most_rows) if finished and manifest is not None else None
    return Statement(
        statement_id=response.identity("statement_id", ""),
        state=state,
        said=plain(said),
        error_code="" if error is None else plain(error.identity("error_code", "")),
        error="" if error is None else plain(error.text("message", "")),
        table=table,
    )


def _table(manifest: Fields, result: Fields | None, most_rows: int) -> Table:
    columns, total = _columns(manifest), manifest.count("total_row_count")
    more = manifest.flag("truncated") or (manifest.count("total_chunk_count") or 0) > 1
    if result is None:
        return Table(columns=columns, total_rows=total, truncated=more or bool(total))
    if result.has("external_links") and not result.has("data_array"):
        raise AnswerMalformed(f"{result.place}: wanted rows within the answer, found links to them")
    came = _lines(result)
    rows, room = [], MOST_CHARACTERS
    readers = [_READERS.get(column.type_name, _as_text) for column in columns]
    for number, line in enumerate(came[:most_rows]):
        if len(line) != len(columns):
            raise AnswerMalformed(
                f"{result.place}: row {number}: wanted {len(columns)} values, found {len(line)}"
            )
        room -= sum(len(value) for value in line if isinstance(value, str))
        if room < 0:
            break
        rows.append(
            tuple(
                None if value is None else _cell(reader, value, column, number, result)
                for reader, value, column in zip(readers, line, columns, strict=True)
            )
        )
    more = more or result.has("next_chunk_index") or result.has("next_chunk_internal_link")
    return Table(
        columns=columns,
        rows=tuple(rows),
        total_rows=total,
        truncated=more or len(rows) < max(len(came), total or 0),
    )


def _columns(manifest: Fields) -> tuple[Column, ...]:
    """The columns by their position, where that is said; else in the order in which they came."""
    schema = manifest.part("schema")
    if schema is None:
        return ()
    found = [
        (
            column.count("position"),
            Column(name=column.text("name"), type_name=column.text("type_name", "STRING").upper()),
        )
        for column in schema.parts("columns")
    ]
    places = [place for place, _ in found]
    if any(place is not None for place in places) and sorted(place or 0 for place in places) != list(
        range(len(found))
    ):
        raise AnswerMalformed(
            f"{schema.place}: the positions of the columns are not 0 to {len(found) - 1}, each once"
        )
    return tuple(column for _, column in sorted(found, key=lambda pair: pair[0] or 0))


def _lines(result: Fields) -> list[Sequence[object]]:
    """The rows in either of the two forms that workspaces send: lists of texts, or lists of typed values."""
    if result.has("data_array") or not result.has("data_typed_array"):
        lines = result.items("data_array")
        for number, line in enumerate(lines):
            if not isinstance(line, list | tuple):
                raise AnswerMalformed(f"{result.place}: row {number}: wanted a list, found {kind(line)}")
        return [line for line in lines if isinstance(line, list | tuple)]
    return [
        [value.raw("str") if value.has("str") else _only(value) for value in row.parts("values")]
        for row in result.parts("data_typed_array")
    ]


def _only(value: Fields) -> object:
    names = value.names()
    if len(names) > 1:
        raise AnswerMalformed(f"{value.place}: wanted one value, found {len(names)}")
    return value.raw(names[0]) if names else None


def _cell(
    reader: Callable[[object], Cell], value: object, column: Column, number: int, result: Fields
) -> Cell:
    try:
        return reader(value)
    except ValueError as problem:
        found = plain(str(value))[:40] if isinstance(value, str) else kind(value)
        raise AnswerMalformed(
            f"{result.place}: row {number}: column {plain(column.name)}: {found!r} is no {plain(column.type_name)}"
        ) from problem


def _as_text(value: object) -> Cell:
    if not isinstance(value, str):
        raise ValueError(kind(value))
    return fit(value)


def _as_whole(value: object) -> Cell:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise ValueError(kind(value))


def _as_float(value: object) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    raise ValueError(kind(value))


def _as_decimal(value: object) -> Cell:
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and _FINITE.fullmatch(value):
        return Decimal(value)
    raise ValueError(kind(value))


def _as_boolean(value: object) -> Cell:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError(kind(value))


def _as_date(value: object) -> Cell:
    text = _as_text(value)
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return text  # such as the year 12024, which SQL has and Python has not


def _as_moment(value: object) -> Cell:
    text = _as_text(value)
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return text
    return moment if moment.tzinfo is not None else text


_READERS: dict[str, Callable[[object], Cell]] = {
    **dict.fromkeys(("BYTE", "SHORT", "INT", "LONG", "TINYINT", "SMALLINT", "BIGINT", "INTEGER"), _as_whole),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL"), _as_float),
    "DECIMAL": _as_decimal,
    "BOOLEAN": _as_boolean,
    "DATE": _as_date,
    "TIMESTAMP": _as_moment,
}
