"""Does a stream of server-sent events give the same events however its bytes come, and no event that did not?"""

from __future__ import annotations

import collections
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bridge.databricks.events import Event, Events, Lines, read
from bridge.errors import AnswerTooLarge

# Letters, what JSON may hold unescaped, and what other languages take for line ends (Python's splitlines does).
TEXT = st.text(st.sampled_from('ab{}":, é€😀\u2028\u2029\x85\x0b\x0c\x1c[DONE]'), max_size=12)
# Nothing here is about time, and the machine may be busy.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LINE_END = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[Event]]:
    """Bytes of a stream with the events that are in it; one stream has one kind of line end."""
    end = draw(LINE_END)
    lines, events = [], []
    for _ in range(draw(st.integers(0, 6))):
        data = draw(st.lists(TEXT.filter(lambda text: "[DONE]" not in text), min_size=1, max_size=3))
        name = draw(st.sampled_from(["", "", "delta"]))
        lines += [f"event: {name}"] if name else []
        lines += draw(
            st.lists(st.sampled_from([": still here", ":", "id: 7", "retry: 5", "other"]), max_size=2)
        )
        lines += [f"data: {line}" for line in data] + [""]
        events.append(Event("\n".join(data), name))
    if draw(st.booleans()):
        lines += ["data: [DONE]", *draw(st.sampled_from([[], [""], ["", ""]]))]
        events.append(Event("[DONE]"))
    sent = end.join(lines)
    return (sent if draw(st.booleans()) and events and events[-1].done else sent + end).encode(), events


def in_pieces(data: bytes, cuts: list[int]) -> list[Event]:
    lines, events = Lines(), Events()
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    came = [line for piece in pieces for line in lines.feed(piece)] + lines.end()
    return [event for line in came if (event := events.line(line)) is not None]


@UNHURRIED
@given(stream=streams(), cuts=st.lists(st.integers(0, 10_000), max_size=20))
@example(stream=(b"data: a\r\n\r\ndata: b\r\n\r\n", [Event("a"), Event("b")]), cuts=[8, 10])
def test_any_pieces_of_the_bytes_give_the_same_events(
    stream: tuple[bytes, list[Event]], cuts: list[int]
) -> None:
    """A cut may fall within a character, between CR and LF, anywhere."""
    data, events = stream

    assert in_pieces(data, cuts) == events
    assert in_pieces(data, list(range(len(data)))) == events
    assert read(data) == events


@UNHURRIED
@given(stream=streams(), kept=st.integers(0, 10_000))
def test_a_stream_cut_short_gives_only_whole_events(stream: tuple[bytes, list[Event]], kept: int) -> None:
    """Whatever comes before the cut is right, and half an event is none."""
    data, events = stream

    found = read(data[: kept % (len(data) + 1)])

    assert found == events[: len(found)]


@UNHURRIED
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_garbage_gives_the_same_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    assert in_pieces(data, cuts) == read(data)


@pytest.mark.parametrize(
    ("sent", "events"),
    [
        ("data: a\n\n", [Event("a")]),
        ("data:a\n\n", [Event("a")]),
        ("data:  a\n\n", [Event(" a")]),
        ("data\n\n", [Event("")]),
        ("data: a\ndata: b\n\n", [Event("a\nb")]),
        ("event: x\ndata: a\n\ndata: b\n\n", [Event("a", "x"), Event("b")]),
        ("event: x\n\ndata: b\n\n", [Event("b")]),
        (": hello\n\ndata: a\n\n", [Event("a")]),
        ("\ufeffdata: a\n\n", [Event("a")]),
        ("Data: a\n\n data: b\n\n", []),
        ("data: a\n", []),
        ("data: a", []),
        ("data: [DONE]", [Event("[DONE]")]),
        ("data: [DO", []),
        ("data: a\ndata: [DONE]\n\n", [Event("a\n[DONE]")]),
        ("data: a\ndata: [DONE]", []),
        ("", []),
    ],
)
def test_what_the_standard_says(sent: str, events: list[Event]) -> None:
    assert read(sent.encode()) == events


def test_json_with_a_line_separator_in_it_stays_one_line() -> None:
    """U+2028 is allowed within JSON and ends no line; Python's splitlines would cut there."""
    said = json.dumps({"text": "a\u2028b\x85c"}, ensure_ascii=False)

    (event,) = read(f"data: {said}\n\n".encode())

    assert json.loads(event.data) == {"text": "a\u2028b\x85c"}


def test_damaged_characters_are_shown_and_do_not_stop_the_stream() -> None:
    assert read(b"data: a\xff\xc3\n\ndata: b\n\n") == [Event("a\ufffd\ufffd"), Event("b")]


@pytest.mark.parametrize("data", [b"x" * 101, b"data: " + b"x" * 101 + b"\n"])
def test_a_line_without_an_end_is_refused_when_it_is_too_long(data: bytes) -> None:
    lines = Lines(most=100)

    with pytest.raises(AnswerTooLarge, match="100 bytes"):
        collections.deque((lines.feed(bytes([sign])) for sign in data), maxlen=0)


def test_an_event_of_too_many_lines_is_refused() -> None:
    events = Events(most=100)

    for _ in range(10):
        events.line("data: 123456789")
    with pytest.raises(AnswerTooLarge, match="100 characters"):
        events.line("data: ")


def test_ten_megabytes_in_small_pieces_take_no_quadratic_time() -> None:
    """Counted in copies, not in seconds: what is held is a list of pieces, joined once."""
    lines = Lines(most=20_000_000)
    for _ in range(10_000):
        assert lines.feed(b"x" * 1_000) == []

    assert len(lines.feed(b"\n")[0]) == 10_000_000
