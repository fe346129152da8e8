"""Do the rows of a statement arrive with their types, and is told what is missing of them?"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from genie_words import pending, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.databricks import statement_result
from bridge.databricks.fields import Fields
from bridge.databricks.statement_result import MOST_CHARACTERS, StatementState, Table
from bridge.errors import AnswerMalformed

# Nothing here is about time, and the machine may be busy.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(response: dict[str, object], **more: Any) -> statement_result.Statement:
    return statement_result.read(Fields(response["statement_response"], "rows"), **more)


def table_of(*of: Any, **more: Any) -> Table:
    found = read(rows(*of, **more)).table
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("type_name", "sent", "value"),
    [
        ("LONG", "9223372036854775807", 9223372036854775807),
        ("INT", "-3", -3),
        ("INT", 4, 4),
        ("SHORT", "7", 7),
        ("BYTE", "1", 1),
        ("DOUBLE", "1.5E-3", 0.0015),
        ("DOUBLE", 2, 2.0),
        ("FLOAT", "-Infinity", -math.inf),
        ("DECIMAL", "12.340", Decimal("12.340")),
        ("BOOLEAN", "true", True),
        ("BOOLEAN", False, False),
        ("STRING", "42", "42"),
        ("STRING", "", ""),
        ("DATE", "2026-11-21", date(2026, 11, 21)),
        ("DATE", "+12024-01-01", "+12024-01-01"),
        ("TIMESTAMP", "2026-11-21T08:00:00.250Z", datetime(2026, 11, 21, 8, 0, 0, 250_000, UTC)),
        ("TIMESTAMP", "2026-11-21 09:00:00+01:00", datetime(2026, 11, 21, 8, tzinfo=UTC)),
        ("TIMESTAMP", "2026-11-21 09:00:00", "2026-11-21 09:00:00"),
        ("TIMESTAMP_NTZ", "2026-11-21 09:00:00", "2026-11-21 09:00:00"),
        ("ARRAY", "[1,2]", "[1,2]"),
        ("SOMETHING_NEW", "x", "x"),
        ("LONG", None, None),
        ("STRING", None, None),
    ],
)
def test_values_come_in_their_types(type_name: str, sent: object, value: object) -> None:
    """Everything travels as text. What Python cannot hold exactly, or has no zone, stays text."""
    (line,) = table_of([("c", type_name)], [[sent]]).rows

    assert line == (value,)
    assert type(line[0]) is type(value)


def test_not_a_number_is_one() -> None:
    (line,) = table_of([("c", "DOUBLE")], [["NaN"]]).rows

    assert isinstance(line[0], float)
    assert math.isnan(line[0])


@pytest.mark.parametrize(
    ("type_name", "sent"),
    [
        ("LONG", "1_000"),
        ("LONG", "12.0"),
        ("LONG", "ten"),
        ("LONG", " 1"),
        ("LONG", "١"),
        ("LONG", True),
        ("LONG", 1.5),
        ("DOUBLE", "1_0.5"),
        ("DOUBLE", "1,5"),
        ("DOUBLE", True),
        ("DECIMAL", "NaN"),
        ("DECIMAL", 1.5),
        ("BOOLEAN", "yes"),
        ("BOOLEAN", 1),
        ("STRING", 5),
        ("STRING", ["x"]),
        ("TIMESTAMP", 1_700_000_000),
    ],
)
def test_a_value_of_another_type_is_refused_by_row_and_column(type_name: str, sent: object) -> None:
    """Python takes 1_000 for a number and True for a 1; an answer that means that does not exist."""
    with pytest.raises(AnswerMalformed, match=rf"row 1: column temp.* is no {type_name}"):
        table_of([("n", "STRING"), ("temp", type_name)], [["a", None], ["b", sent]])


def test_columns_stand_at_their_positions() -> None:
    described = [
        {"name": "b", "type_name": "INT", "position": 1},
        {"name": "a", "type_name": "STRING", "position": 0},
    ]

    table = table_of([], [["x", "1"]], manifest={"schema": {"columns": described}})

    assert [column.name for column in table.columns] == ["a", "b"]
    assert table.rows == (("x", 1),)


@pytest.mark.parametrize("places", [(0, 0), (1, 2), (0, None, 2)])
def test_positions_that_leave_a_gap_are_refused(places: tuple[int | None, ...]) -> None:
    described = [{"name": "a", "type_name": "INT", "position": place} for place in places]

    with pytest.raises(AnswerMalformed, match="positions of the columns"):
        table_of([], [], manifest={"schema": {"columns": described}})


@pytest.mark.parametrize(
    ("manifest", "result", "truncated", "total"),
    [
        ({}, {}, False, 1),
        ({"truncated": True}, {}, True, 1),
        ({"total_row_count": "9000"}, {}, True, 9000),
        ({"total_row_count": None}, {}, False, None),
        ({"total_chunk_count": 3}, {}, True, 1),
        ({}, {"next_chunk_index": 1}, True, 1),
        ({}, {"next_chunk_internal_link": "/x"}, True, 1),
        ({}, {"data_array": None}, True, 1),
        ({"total_row_count": 0}, {"data_array": None}, False, 0),
    ],
)
def test_what_is_missing_is_told(manifest: Any, result: Any, truncated: bool, total: int | None) -> None:
    """A first chunk, a cut result and rows that were counted and did not come are all less than everything."""
    table = table_of(manifest=manifest, result=result)

    assert (table.truncated, table.total_rows) == (truncated, total)


def test_no_more_rows_are_kept_than_wanted() -> None:
    found = read(rows([("n", "INT")], [[str(number)] for number in range(10)]), most_rows=4).table

    assert found is not None
    assert found.rows == ((0,), (1,), (2,), (3,))
    assert (found.truncated, found.total_rows) == (True, 10)


def test_ten_megabytes_of_rows_are_cut_and_told() -> None:
    table = table_of([("s", "STRING")], [["x" * 1_000_000]] * 11)

    assert len(table.rows) == MOST_CHARACTERS // 1_000_000
    assert table.truncated


def test_the_older_form_of_rows_is_read_as_well() -> None:
    """Some workspaces send each value as an object, and NULL as an empty one."""
    typed = [
        {"values": [{"str": "1"}, {}]},
        {"values": [{"str": "2"}, {"str": None}]},
        {"values": [{"str": "3"}, {"str": "x"}]},
    ]

    table = table_of([("n", "INT"), ("s", "STRING")], result={"data_array": None, "data_typed_array": typed})

    assert table.rows == ((1, None), (2, None), (3, "x"))


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"data_array": [["1"], ["1", "2"]]}, "row 1: wanted 1 values, found 2"),
        ({"data_array": [["1"], "2"]}, "row 1: wanted a list, found a text"),
        ({"data_array": {"0": "1"}}, "data_array: wanted a list, found an object"),
        ({"data_array": None, "external_links": [{"external_link": "https://x"}]}, "found links"),
        (
            {"data_array": None, "data_typed_array": [{"values": [{"a": 1, "b": 2}]}]},
            "wanted one value, found 2",
        ),
    ],
)
def test_rows_that_are_not_as_promised_are_refused(result: Any, says: str) -> None:
    with pytest.raises(AnswerMalformed, match=says):
        table_of(result=result)


def test_a_success_without_a_manifest_is_refused() -> None:
    with pytest.raises(AnswerMalformed, match="manifest: wanted an object, found null"):
        read(pending("SUCCEEDED"))


@pytest.mark.parametrize(
    ("said", "state", "running"),
    [
        ("PENDING", StatementState.PENDING, True),
        ("RUNNING", StatementState.RUNNING, True),
        ("QUEUED_SOMEWHERE", StatementState.OTHER, True),
        ("FAILED", StatementState.FAILED, False),
        ("CANCELED", StatementState.CANCELED, False),
        ("CLOSED", StatementState.CLOSED, False),
    ],
)
def test_states_without_rows(said: str, state: StatementState, running: bool) -> None:
    found = read(pending(said))

    assert (found.state, found.said, found.running, found.table) == (state, said, running, None)


def test_a_closed_statement_that_still_shows_its_rows_has_them() -> None:
    assert table_of(state="CLOSED").rows == ((1,),)


@UNHURRIED
@given(
    number=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(allow_nan=False),
    whole=st.decimals(allow_nan=False, allow_infinity=False),
)
def test_numbers_survive_the_way_as_text(number: int, real: float, whole: Decimal) -> None:
    """What SQL sends as text is the same number here, to the last digit."""
    sent = [[str(number), repr(real), format(whole, "f")]]

    (line,) = table_of([("a", "LONG"), ("b", "DOUBLE"), ("c", "DECIMAL")], sent).rows

    assert line == (number, real, whole)


@UNHURRIED
@given(
    moment=st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001 - the zone comes next
    zone=st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_moments_survive_in_any_zone(moment: datetime, zone: timezone) -> None:
    shown = moment.replace(tzinfo=UTC).astimezone(zone)

    (line,) = table_of([("t", "TIMESTAMP")], [[shown.isoformat()]]).rows

    assert line == (shown,)
