"""Are Genie's few questions a minute shared out as promised, and are answers remembered no longer than that?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from by_hand import HandClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.databricks.genie_answer import GenieAnswer, Provenance
from bridge.databricks.genie_limits import AnswerMemory, Turn, Turns, same_question
from bridge.databricks.statement_result import Column
from bridge.errors import RateLimited

# Nothing here is about time, and the machine may be busy.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ANSWER = GenieAnswer(
    question="q",
    text="a",
    asks_back="",
    title="",
    description="",
    sql="",
    parameters=(),
    columns=(),
    rows=(),
    total_rows=None,
    truncated=False,
    suggested_questions=(),
    provenance=Provenance(space_id="s", conversation_id="c", message_id="m"),
)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_five_at_once_and_the_sixth_a_minute_later(clock: HandClock) -> None:
    """The sixth may only begin when the first is over a minute old, with a second for the way."""
    turns = Turns(clock, per_minute=5)

    assert [turns.take(patience_s=200).wait_s for _ in range(11)] == [0] * 5 + [61] * 5 + [122]


def test_whoever_has_no_patience_takes_no_turn(clock: HandClock) -> None:
    """A refusal costs nothing, and says when the next turn is."""
    turns = Turns(clock, per_minute=1)
    turns.take(patience_s=0)
    clock.passed_s += 21

    for _ in range(3):
        with pytest.raises(RateLimited, match="next turn is in 40 s and there is time for 39 s") as caught:
            turns.take(patience_s=39)
        assert caught.value.retry_after_s == 40
    assert turns.take(patience_s=40).wait_s == 40


def test_a_turn_given_back_goes_to_whoever_asks_next(clock: HandClock) -> None:
    """Twice given back is given back once."""
    turns = Turns(clock, per_minute=1)
    turns.take(patience_s=0)
    second, third = turns.take(patience_s=1_000), turns.take(patience_s=1_000)

    turns.give_back(second)
    turns.give_back(second)

    assert third.wait_s == 122
    assert turns.take(patience_s=1_000).wait_s == 61
    assert turns.take(patience_s=1_000).wait_s == 183


@pytest.mark.parametrize("per_minute", [0, -1])
def test_a_bucket_without_questions_is_refused(clock: HandClock, per_minute: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Turns(clock, per_minute=per_minute)


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 90)),
        st.tuples(st.just("take"), st.floats(0, 400)),
        st.tuples(st.just("back"), st.integers(0, 30)),
        st.tuples(st.just("hold"), st.floats(0, 100)),
    ),
    max_size=60,
)


@UNHURRIED
@given(moves=MOVES, per_minute=st.integers(1, 6))
def test_no_minute_ever_has_too_many(moves: list[tuple[str, float]], per_minute: int) -> None:
    """Whatever is taken, refused, given back and held: the turns that stand keep the bound."""
    clock = HandClock()
    turns = Turns(clock, per_minute=per_minute)
    standing: list[Turn] = []
    held_until_s = 0.0
    for move, amount in moves:
        now_s = clock.monotonic_s()
        if move == "pass":
            clock.passed_s += amount
        elif move == "hold":
            turns.hold(amount)
            held_until_s = max(held_until_s, now_s + amount)
        elif move == "back":
            waiting = [turn for turn in standing if turn.begins_s > now_s]
            if waiting:
                gone = waiting[int(amount) % len(waiting)]
                standing.remove(gone)
                turns.give_back(gone)
        else:
            try:
                turn = turns.take(patience_s=amount)
            except RateLimited:
                continue
            assert turn.wait_s <= amount
            assert turn.begins_s >= max(now_s, held_until_s)
            assert turn.begins_s == pytest.approx(now_s + turn.wait_s)
            standing.append(turn)

    begins = sorted(turn.begins_s for turn in standing)
    for first, beyond in zip(begins, begins[per_minute:], strict=False):
        assert beyond - first > 60


def test_many_that_wait_are_told_their_turns_in_order(clock: HandClock) -> None:
    """The order of asking is the order of turns, and none is later than the rate demands."""
    turns = Turns(clock, per_minute=5)

    waits_s = [turns.take(patience_s=1e9).wait_s for _ in range(100)]

    assert waits_s == sorted(waits_s)
    assert waits_s[-1] == 19 * 61


def test_an_answer_is_remembered_until_its_time_is_over(clock: HandClock) -> None:
    memory = AnswerMemory(clock, keep_s=60)
    memory.keep("s", "why?", ANSWER)

    clock.passed_s = 59.5
    found = memory.find("s", "why?")
    clock.passed_s = 60

    assert found == replace(ANSWER, age_s=59.5)
    assert memory.find("s", "why?") is None
    assert len(memory) == 0


def test_a_later_answer_replaces_an_earlier_one(clock: HandClock) -> None:
    memory = AnswerMemory(clock, keep_s=60)
    memory.keep("s", "why?", ANSWER)
    clock.passed_s = 50
    memory.keep("s", "why?", replace(ANSWER, text="b"))
    clock.passed_s = 80

    found = memory.find("s", "why?")

    assert found is not None
    assert (found.text, found.age_s) == ("b", 30)


def test_the_memory_is_bounded_and_the_longest_unused_goes_first(clock: HandClock) -> None:
    memory = AnswerMemory(clock, keep_s=60, most=2)
    memory.keep("s", "1", ANSWER)
    memory.keep("s", "2", ANSWER)
    memory.find("s", "1")
    memory.keep("s", "3", ANSWER)

    assert [memory.find("s", question) is not None for question in "123"] == [True, False, True]


def test_large_answers_push_others_out_and_the_largest_is_not_kept(clock: HandClock) -> None:
    """Memory is bounded by what answers weigh, not by their number alone."""
    wide = replace(ANSWER, columns=(Column(name="n", type_name="INT"),) * 10, rows=((1,) * 10,) * 5)
    memory = AnswerMemory(clock, keep_s=60, most_cells=120)
    for question in "123":
        memory.keep("s", question, wide)
    memory.keep("s", "4", replace(wide, rows=((1,) * 10,) * 12))

    assert [memory.find("s", question) is not None for question in "1234"] == [False, True, True, False]


def test_a_question_back_is_not_remembered(clock: HandClock) -> None:
    """It belongs to one conversation and answers nobody else."""
    memory = AnswerMemory(clock, keep_s=60)
    memory.keep("s", "why?", replace(ANSWER, asks_back="which one?"))

    assert len(memory) == 0


def test_a_memory_of_no_time_keeps_nothing(clock: HandClock) -> None:
    memory = AnswerMemory(clock, keep_s=0)
    memory.keep("s", "why?", ANSWER)

    assert len(memory) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Why is it hot?", "  Why  is\nit hot ", True),
        ("Caf\u00e9?", "Cafe\u0301", True),
        ("power in mW", "power in MW", False),
        ("REACTOR_01", "REACTOR_02", False),
        ("10 m²", "10 m2", False),
    ],
)
def test_which_questions_are_the_same(one: str, other: str, same: bool) -> None:
    """White space and the mark at the end do not count; what may mean another thing does."""
    assert (same_question(one) == same_question(other)) is same
