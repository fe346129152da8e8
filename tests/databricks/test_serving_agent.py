"""Is an agent's answer read once, whole and in order, in all the dialects in which agents stream?"""

from __future__ import annotations

import itertools

import pytest
from by_hand import Talk
from chat_words import Sender, completed, delta, done_item, item, request, sse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.databricks.chat import ChatAnswer, Finish, Usage, complete, streamed
from bridge.databricks.responses_agent import AgentChat
from bridge.errors import (
    AnswerCut,
    AnswerMalformed,
    AnswerUnusable,
    BridgeError,
    ModelFailed,
    QuestionRefused,
    RateLimited,
)

# Nothing here is about time, and the machine may be busy.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

AGENT = AgentChat("helper")


def of_stream(*events: dict[str, object], done: bool = True) -> tuple[list[str], ChatAnswer]:
    stream = streamed(AGENT, request(), Sender(sse(*events, done=done)))
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


def test_an_answer_in_one_piece() -> None:
    answer = Talk().work(
        complete(AGENT, request()),
        {
            "id": "r1",
            "object": "response",
            "model": "m",
            "status": "completed",
            "error": None,
            "output": [
                {"type": "reasoning", "id": "x", "summary": []},
                item("I look.", "i1"),
                {"type": "function_call", "id": "f", "call_id": "c", "name": "history", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "91"},
                item("Water is short.", "i2"),
                {"type": "hologram"},
            ],
            "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
        },
    )

    assert answer == ChatAnswer(
        texts=("I look.", "Water is short."),
        finish=Finish.STOP,
        model="m",
        answer_id="r1",
        usage=Usage(prompt=5, completion=2, total=7),
        tools=("history",),
        unread=("hologram",),
    )
    assert (answer.text, answer.last) == ("I look.\n\nWater is short.", "Water is short.")


def test_text_that_is_repeated_when_its_item_is_done_comes_once() -> None:
    pieces, answer = of_stream(delta("Wa"), delta("ter."), done_item("Water."), completed())

    assert pieces == ["Wa", "ter."]
    assert answer.texts == ("Water.",)
    assert (answer.finish, answer.answer_id) == (Finish.STOP, "r1")
    assert answer.usage == Usage(prompt=5, completion=2, total=7)


def test_an_item_that_was_not_streamed_comes_when_it_is_done() -> None:
    pieces, answer = of_stream(done_item("Water.", "i1"), done_item("Sand.", "i2"), completed())

    assert (pieces, answer.texts) == (["Water.", "Sand."], ("Water.", "Sand."))


def test_the_rest_of_an_item_comes_when_it_is_done() -> None:
    """A delta that was lost on the agent's side is made good; one that was corrected is replaced."""
    pieces, answer = of_stream(delta("Wa"), done_item("Water."), completed())
    corrected, final = of_stream(delta("Wine"), done_item("Water."), completed())

    assert (pieces, answer.texts) == (["Wa", "ter."], ("Water.",))
    assert (corrected, final.texts) == (["Wine"], ("Water.",))


@pytest.mark.parametrize(("streamed_as", "done_as"), [(None, None), ("", None), (None, "b"), ("a", None)])
def test_an_agent_that_leaves_ids_out_is_not_heard_twice(
    streamed_as: str | None, done_as: str | None
) -> None:
    """Ids are made by hand in agents' code, and not always well."""
    pieces, answer = of_stream(
        delta("Water.", streamed_as), done_item("Water.", done_as), completed("responses.completed")
    )

    assert (pieces, answer.texts) == (["Water."], ("Water.",))


def test_the_same_words_in_two_items_are_said_twice() -> None:
    pieces, answer = of_stream(
        delta("Ok.", "a"), done_item("Ok.", "a"), delta("Ok.", "b"), done_item("Ok.", "b"), completed()
    )

    assert (pieces, answer.texts) == (["Ok.", "Ok."], ("Ok.", "Ok."))


@pytest.mark.parametrize("kind", ["response.completed", "responses.completed"])
def test_both_names_of_the_end_are_known(kind: str) -> None:
    _, answer = of_stream(delta("Hi"), completed(kind, trace_id="tr-7"))

    assert (answer.answer_id, answer.trace_id, answer.unread) == ("r1", "tr-7", ())


def test_an_answer_that_comes_only_at_the_end_is_taken_from_there() -> None:
    pieces, answer = of_stream(completed(output=[item("Water.")]))

    assert (pieces, answer.texts) == (["Water."], ("Water.",))


@pytest.mark.parametrize("last_id", ["i1", "i9", None])
def test_the_whole_answer_at_the_end_does_not_repeat_what_came(last_id: str | None) -> None:
    """Under whatever id it is repeated."""
    pieces, answer = of_stream(
        delta("Wat"),
        done_item("Water."),
        done_item("Sand.", None),
        completed(output=[item("Sand.", last_id)]),
    )

    assert (pieces, answer.texts) == (["Wat", "er.", "Sand."], ("Water.", "Sand."))


def test_events_without_a_type_and_of_types_that_we_do_not_know_are_no_text() -> None:
    pieces, answer = of_stream(
        {"type": "response.created", "response": {}},
        {"trace_id": "tr-1"},
        {"anything": {"delta": "no"}},
        delta("Hi"),
        {"type": "response.reasoning_summary_text.delta", "item_id": "r", "delta": "hm"},
        {"type": "response.hologram", "delta": "no"},
        completed(),
    )

    assert (pieces, answer.trace_id, answer.unread) == (["Hi"], "tr-1", ("response.hologram",))


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        ({"error": "ValueError: no tool"}, ModelFailed, "ValueError: no tool"),
        ({"type": "error", "code": "E1", "message": "broke"}, ModelFailed, "E1: broke"),
        ({"type": "error", "message": "broke"}, ModelFailed, "broke"),
        ({"type": "error", "code": 7, "message": None}, ModelFailed, "7"),
        ({"type": "error"}, ModelFailed, "does not say why"),
        ({"type": "error", "error": {"code": "x", "message": "inner"}}, ModelFailed, "x: inner"),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, RateLimited, "slow"),
        ({"type": "error", "code": "content_filter", "message": "no"}, QuestionRefused, "other words"),
        (completed(status="failed", error={"code": "E", "message": "late"}), ModelFailed, "E: late"),
        (completed(status="failed"), ModelFailed, "failed"),
        (completed("response.failed"), ModelFailed, "response.failed"),
        (completed(incomplete_details={"reason": "content_filter"}), QuestionRefused, "content filter"),
        ({"type": "response.output_item.done"}, AnswerMalformed, "item: wanted an object"),
        ({"type": "response.output_text.delta", "delta": 5}, AnswerMalformed, "delta: wanted a text"),
        ({"type": 5}, AnswerMalformed, "type: wanted a text"),
    ],
)
def test_what_goes_wrong_within_a_stream_has_a_name(
    event: dict[str, object], error: type[BridgeError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        of_stream(delta("Wa"), event)
    assert type(caught.value) is error
    assert "helper" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ({"error": "broke"}, ModelFailed, "broke"),
        ({"error": {"code": "E", "message": "broke"}}, ModelFailed, "E: broke"),
        ({"status": "failed", "output": []}, ModelFailed, "failed"),
        ({"output": {}}, AnswerMalformed, "output: wanted a list"),
        (
            {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]},
            QuestionRefused,
            "no",
        ),
    ],
)
def test_what_goes_wrong_in_one_piece_has_a_name(
    answer: dict[str, object], error: type[BridgeError], says: str
) -> None:
    with pytest.raises(error, match=says):
        Talk().work(complete(AGENT, request()), answer)


def test_a_stream_without_its_mark_is_cut_even_after_completed() -> None:
    """The mark is the server's word that nothing was lost on the way."""
    with pytest.raises(AnswerCut) as caught:
        of_stream(delta("Water"), done_item("Water"), completed(), done=False)
    assert caught.value.so_far == "Water"


@pytest.mark.parametrize("details", [{"reason": "max_output_tokens"}, None])
def test_an_answer_that_ran_out_of_tokens_is_told_as_cut(details: dict[str, object] | None) -> None:
    _, answer = of_stream(
        delta("Wat"), completed("response.incomplete", status="incomplete", incomplete_details=details)
    )

    assert answer.cut


def test_an_agent_that_waits_for_an_approval_gets_none() -> None:
    request_item = {"type": "mcp_approval_request", "id": "a", "name": "open_valve", "arguments": "{}"}

    with pytest.raises(AnswerUnusable, match="approval of open_valve, which the bridge never gives"):
        of_stream({"type": "response.output_item.done", "item": request_item}, completed())


def test_an_agent_that_ends_with_a_tool_has_not_answered() -> None:
    call = {"type": "function_call", "name": "history", "call_id": "c", "arguments": "{}"}

    _, answer = of_stream({"type": "response.output_item.done", "item": call})

    assert (answer.finish, answer.texts, answer.tools) == (Finish.TOOL_CALLS, (), ("history",))


@UNHURRIED
@given(
    texts=st.lists(st.text("abc \n", min_size=1, max_size=12), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 5), min_size=1),
    repeated=st.lists(st.booleans(), min_size=4, max_size=4),
    streamed_too=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_whatever_is_streamed_and_repeated_each_item_is_heard_once(
    texts: list[str], cuts: list[int], repeated: list[bool], streamed_too: list[bool]
) -> None:
    """Deltas, items when done, or both: the pieces shown and the answer are the same text."""
    events: list[dict[str, object]] = []
    for number, text in enumerate(texts):
        item_id = f"i{number}"
        if streamed_too[number]:
            steps = itertools.cycle(cuts)
            at = 0
            while at < len(text):
                size = next(steps)
                events.append(delta(text[at : at + size], item_id))
                at += size
        if repeated[number] or not streamed_too[number]:
            events.append(done_item(text, item_id))

    pieces, answer = of_stream(*events, completed())

    assert answer.texts == tuple(texts)
    assert "".join(pieces) == "".join(texts)
