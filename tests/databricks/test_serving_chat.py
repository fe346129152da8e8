"""Is a chat endpoint asked as it wants to be asked, and is every way in which it answers understood?"""

from __future__ import annotations

from typing import Any

import pytest
from by_hand import Talk
from chat_words import Sender, chunk, completion, request, sse

from bridge.databricks import serving
from bridge.databricks.answer_form import AnswerForm
from bridge.databricks.azure import AzureChat, AzureKey
from bridge.databricks.chat import (
    ChatAnswer,
    ChatMessage,
    ChatModel,
    ChatRequest,
    Finish,
    Usage,
    complete,
    streamed,
)
from bridge.databricks.responses_agent import AgentChat
from bridge.databricks.serving import ServingChat, Update
from bridge.errors import (
    AccessDenied,
    AnswerCut,
    AnswerMalformed,
    AnswerTooLarge,
    BridgeError,
    ConfigError,
    ModelFailed,
    QuestionRefused,
    RateLimited,
    ServiceMisconfigured,
    WorkspaceDown,
    WorkspaceRefused,
)

FORM = AnswerForm(
    name="cause",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["why"],
        "properties": {"why": {"type": "string", "maxLength": 10}},
    },
)


@pytest.fixture
def model() -> ServingChat:
    return ServingChat("plant advisor")


@pytest.fixture
def talk() -> Talk:
    return Talk()


def pieces_of(model: ChatModel, sender: Sender, **more: Any) -> tuple[list[str], ChatAnswer]:
    """The pieces that a stream gives, and the answer at its end."""
    stream = streamed(model, request(**more), sender)
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


def asked_and_refused(model: ChatModel, talk: Talk, refused: BridgeError, *, stream: bool) -> None:
    """Ask in one of the two ways a server that refuses."""
    if stream:
        pieces_of(model, Sender(refusal=refused), form=FORM)
    else:
        talk.work(complete(model, request(form=FORM)), refused)


# --- how it is asked ---


def test_a_chat_endpoint_is_asked_in_its_own_words(model: ServingChat) -> None:
    asked = ChatRequest(
        messages=(
            ChatMessage(role="system", content="You advise."),
            ChatMessage(role="user", content="why?"),
        ),
        max_tokens=500,
        temperature=0,
        stop=("END",),
        form=FORM,
        request_id="R-1",
    )

    call = model.call(asked, stream=False)

    assert (call.verb, call.path) == ("POST", "/serving-endpoints/plant%20advisor/invocations")
    assert call.body == {
        "messages": [{"role": "system", "content": "You advise."}, {"role": "user", "content": "why?"}],
        "max_tokens": 500,
        "temperature": 0,
        "stop": ["END"],
        "client_request_id": "R-1",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "cause", "strict": True, "schema": FORM.wire()},
        },
    }
    assert call.may_repeat


def test_what_is_not_wanted_is_not_sent(model: ServingChat) -> None:
    """Some models refuse a temperature that somebody else thought harmless."""
    body = model.call(request(), stream=False).body

    assert body == {"messages": [{"role": "user", "content": "why is it hot?"}], "max_tokens": 100}


def test_a_stream_is_asked_for_as_one(model: ServingChat) -> None:
    call = model.call(request(), stream=True)

    assert call.body is not None
    assert call.body["stream"] is True
    assert call.accept == "text/event-stream"


def test_a_model_may_think_in_silence_for_as_long_as_endpoints_let_it(model: ServingChat) -> None:
    call = model.call(request(), stream=False)

    assert (call.budget_s, call.silence_s) == (300.0, 300.0)


def test_azure_has_the_deployment_in_its_address_or_in_the_body() -> None:
    """The dated surface and the newer one without a date."""
    dated = AzureChat("gpt-4o mini").call(request(), stream=False)
    newer = AzureChat("o3", api_version="v1", token_limit="max_completion_tokens").call(
        request(), stream=True
    )

    assert dated.path == "/openai/deployments/gpt-4o%20mini/chat/completions"
    assert dated.query == {"api-version": "2024-10-21"}
    assert dated.body == {"messages": [{"role": "user", "content": "why is it hot?"}], "max_tokens": 100}
    assert (newer.path, newer.query) == ("/openai/v1/chat/completions", {})
    assert newer.body == {
        "messages": [{"role": "user", "content": "why is it hot?"}],
        "max_completion_tokens": 100,
        "model": "o3",
        "stream": True,
    }


def test_azure_takes_its_key_in_its_own_header_and_shows_it_nowhere() -> None:
    key = AzureKey("s3cret", source="AZURE_OPENAI_API_KEY")

    assert key.headers(budget_s=1) == {"api-key": "s3cret"}
    assert not key.renew(key.headers(budget_s=1), budget_s=1)
    assert "s3cret" not in repr(key)


def test_an_agent_is_asked_in_the_responses_format() -> None:
    """And once: while it answers it may do things."""
    agent = AgentChat("helper", conversation_id="c1", custom_inputs={"site": "north"})

    call = agent.call(request(temperature=0.5, form=FORM), stream=True)

    assert call.path == "/serving-endpoints/helper/invocations"
    assert call.body == {
        "input": [{"role": "user", "content": "why is it hot?"}],
        "max_output_tokens": 100,
        "temperature": 0.5,
        "text": {"format": {"type": "json_schema", "name": "cause", "strict": True, "schema": FORM.wire()}},
        "custom_inputs": {"site": "north"},
        "context": {"conversation_id": "c1"},
        "stream": True,
    }
    assert not call.may_repeat


@pytest.mark.parametrize("name", ["", " ", "..", "."])
def test_a_name_that_is_none_is_a_fault_of_the_configuration(name: str) -> None:
    with pytest.raises(ConfigError):
        ServingChat(name)
    with pytest.raises(ConfigError):
        AgentChat(name)
    with pytest.raises(ConfigError):
        AzureChat(name)


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"max_tokens": -5}, {"temperature": 2.1}, {"temperature": -0.1}]
)
def test_a_request_that_no_server_takes_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"max_tokens|temperature"):
        request(**wrong)
    with pytest.raises(ValueError, match="without a message"):
        ChatRequest(messages=(), max_tokens=1)


def test_a_prompt_larger_than_endpoints_take_is_not_sent(model: ServingChat, talk: Talk) -> None:
    with pytest.raises(QuestionRefused, match=r"a request of 4000\d+ bytes; endpoints take 4000000"):
        talk.work(complete(model, request("x" * 4_000_042)))
    assert talk.calls == []


# --- an answer in one piece ---


def test_an_answer_is_read_with_what_it_cost(model: ServingChat, talk: Talk) -> None:
    answer = talk.work(complete(model, request()), completion())

    assert answer == ChatAnswer(
        texts=("It is.",),
        finish=Finish.STOP,
        model="llama-x",
        answer_id="chatcmpl-1",
        usage=Usage(prompt=10, completion=3, total=13),
    )
    assert (answer.text, answer.cut) == ("It is.", False)


@pytest.mark.parametrize(
    ("said", "finish", "cut"),
    [
        ("stop", Finish.STOP, False),
        ("length", Finish.LENGTH, True),
        ("max_tokens", Finish.LENGTH, True),
        ("tool_calls", Finish.TOOL_CALLS, False),
        (None, Finish.OTHER, False),
    ],
)
def test_why_a_model_stopped_is_told(
    model: ServingChat, talk: Talk, said: str | None, finish: Finish, cut: bool
) -> None:
    answer = talk.work(complete(model, request()), completion(finish=said))

    assert (answer.finish, answer.cut, answer.unread) == (finish, cut, ())


def test_a_reason_that_is_newer_than_we_are_is_named(model: ServingChat, talk: Talk) -> None:
    answer = talk.work(complete(model, request()), completion(finish="bored"))

    assert (answer.finish, answer.unread) == (Finish.OTHER, ("finish_reason bored",))


def test_blocks_of_a_reasoning_model_give_their_text_alone(model: ServingChat, talk: Talk) -> None:
    """Some models answer with a list: what they thought is not what they say."""
    blocks = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hmm, the operator is wrong"}]},
        {"type": "text", "text": "Water "},
        {"type": "text", "text": "is short."},
        {"type": "image", "image_url": "x"},
    ]

    answer = talk.work(complete(model, request()), completion(blocks))

    assert answer.text == "Water is short."
    assert answer.unread == ("image",)


def test_a_model_that_spent_all_its_tokens_thinking_has_said_nothing(model: ServingChat, talk: Talk) -> None:
    answer = talk.work(
        complete(model, request()), completion([{"type": "reasoning", "summary": []}], "length")
    )

    assert (answer.texts, answer.last, answer.cut) == ((), "", True)


def test_a_tool_that_nobody_offered_is_named(model: ServingChat, talk: Talk) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "open_valve", "arguments": "{}"}}]

    answer = talk.work(complete(model, request()), completion(None, "tool_calls", tool_calls=calls))

    assert (answer.tools, answer.texts) == (("open_valve",), ())


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ({"error": "the chain broke"}, ModelFailed, "the chain broke"),
        ({"error": {"code": "500", "message": "oops"}}, ModelFailed, "500: oops"),
        ({"error": {"type": "server_error", "message": None}}, ModelFailed, "server_error"),
        ({"error": {"code": 429, "message": "busy"}}, RateLimited, "busy"),
        ({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow"}, RateLimited, "slow"),
        ({"error": {"code": "content_filter", "message": "no"}}, QuestionRefused, "in other words"),
        ({"error": "This model's maximum context length is 8192"}, QuestionRefused, "less context"),
        (completion(finish="content_filter"), QuestionRefused, "content filter stopped the answer"),
        (completion(None, refusal="I can't help with that"), QuestionRefused, "declines: I can't help"),
        ({}, AnswerMalformed, "wanted an answer in choices, found none"),
        ({"choices": []}, AnswerMalformed, "found none"),
        ({"choices": [{}]}, AnswerMalformed, "message: wanted an object, found null"),
        ({"choices": "x"}, AnswerMalformed, "choices: wanted a list, found a text"),
        (completion(7), AnswerMalformed, "content: wanted a list, found a number"),
        (completion([{"type": "text", "text": 7}]), AnswerMalformed, "text: wanted a text, found a number"),
        ({"predictions": [1]}, AnswerMalformed, "wanted an answer in choices"),
    ],
)
def test_what_goes_wrong_at_http_200_has_a_name(
    model: ServingChat, talk: Talk, answer: dict[str, object], error: type[BridgeError], says: str
) -> None:
    """Servers report failures within answers that are called successes."""
    with pytest.raises(error, match=says) as caught:
        talk.work(complete(model, request()), answer)
    assert type(caught.value) is error
    assert "plant advisor" in str(caught.value)


@pytest.mark.parametrize(
    ("refused", "error", "says"),
    [
        (
            WorkspaceRefused("refused", status=400, error_code="content_filter", words="filtered"),
            QuestionRefused,
            "content filter",
        ),
        (
            WorkspaceRefused("refused", status=400, words="ResponsibleAIPolicyViolation"),
            QuestionRefused,
            "in other words",
        ),
        (
            WorkspaceRefused("refused", status=400, error_code="context_length_exceeded"),
            QuestionRefused,
            "less context",
        ),
        (WorkspaceRefused("refused", status=413), QuestionRefused, "too large"),
        (
            WorkspaceRefused("refused", status=404),
            ServiceMisconfigured,
            "no plant advisor to ask, or it is not ready",
        ),
        (
            WorkspaceRefused("refused", status=400, words="Use 'max_completion_tokens' instead."),
            ServiceMisconfigured,
            'token_limit = "max_completion_tokens"',
        ),
        (
            WorkspaceRefused("refused", status=400, words="response_format is not supported"),
            ServiceMisconfigured,
            "does not take the form 'cause'",
        ),
        (WorkspaceRefused("refused", status=400, words="bad"), WorkspaceRefused, "refused"),
        (AccessDenied("no token"), AccessDenied, "no token"),
        (WorkspaceDown("away"), WorkspaceDown, "away"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_says_what_to_do(
    model: ServingChat, talk: Talk, refused: BridgeError, error: type[BridgeError], says: str, stream: bool
) -> None:
    """The same words whether the answer would have come whole or in pieces."""
    with pytest.raises(error, match=says) as caught:
        asked_and_refused(model, talk, refused, stream=stream)
    assert type(caught.value) is error


@pytest.mark.parametrize("stream", [False, True])
def test_too_many_requests_mention_the_tokens_reserved(model: ServingChat, talk: Talk, stream: bool) -> None:
    """An oversized max_tokens is what a rate limit is most often about."""
    limited = RateLimited("too many requests", retry_after_s=7)

    with pytest.raises(RateLimited, match="max_tokens 100 counts in full") as caught:
        asked_and_refused(model, talk, limited, stream=stream)
    assert caught.value.retry_after_s == 7


# --- an answer in pieces ---


def test_a_stream_gives_its_text_as_it_comes(model: ServingChat) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    sender = Sender(
        sse(
            chunk("", role="assistant"),
            chunk("Wa"),
            chunk("ter."),
            chunk(None, "stop"),
            {"id": "chatcmpl-1", "choices": [], "usage": usage},
        )
    )

    pieces, answer = pieces_of(model, sender)

    assert pieces == ["Wa", "ter."]
    assert answer == ChatAnswer(
        texts=("Water.",),
        finish=Finish.STOP,
        model="llama-x",
        answer_id="chatcmpl-1",
        usage=Usage(prompt=9, completion=2, total=11),
    )
    assert sender.closed


def test_the_first_chunk_of_azure_has_no_choices() -> None:
    """It tells what its filters found in the prompt."""
    filters = {"choices": [], "id": "", "model": "", "prompt_filter_results": [{"prompt_index": 0}]}

    pieces, answer = pieces_of(AzureChat("gpt"), Sender(sse(filters, chunk("Hi"), chunk(None, "length"))))

    assert pieces == ["Hi"]
    assert answer.cut


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_stream_in_pieces_of_any_size_is_the_same(model: ServingChat, size: int) -> None:
    data = sse(chunk("Kühlung – "), chunk("schwach 😀"), chunk(None, "stop")).encode()

    pieces, answer = pieces_of(model, Sender(*(data[at : at + size] for at in range(0, len(data), size))))

    assert pieces == ["Kühlung – ", "schwach 😀"]
    assert answer.text == "Kühlung – schwach 😀"


@pytest.mark.parametrize(
    ("sender", "so_far"),
    [
        (Sender(sse(chunk("Wa"), chunk("ter"), done=False)), "Water"),
        (Sender(sse(chunk("Wa"), chunk("ter", "stop"), done=False)), "Water"),
        (Sender(sse(chunk("Wa"), done=False) + 'data: {"choices": [{"del'), "Wa"),
        (Sender(sse(chunk("Wa"), done=False) + "data: [DON"), "Wa"),
        (Sender(sse(chunk("Wa"), done=False), error=WorkspaceDown("reset")), "Wa"),
        (Sender(""), ""),
    ],
)
def test_a_stream_without_its_end_is_no_answer(model: ServingChat, sender: Sender, so_far: str) -> None:
    """Half an advice can say the opposite of the whole; what had come is there for showing alone."""
    stream = streamed(model, request(), sender)

    with pytest.raises(AnswerCut, match=f"cut short after {len(so_far)} characters") as caught:
        list(stream)
    assert caught.value.so_far == so_far


def test_a_wire_that_breaks_before_the_first_byte_is_a_workspace_that_is_down(model: ServingChat) -> None:
    with pytest.raises(WorkspaceDown, match="away"):
        list(streamed(model, request(), Sender(error=WorkspaceDown("away"))))


def test_an_answer_too_large_is_refused_also_in_pieces(model: ServingChat) -> None:
    with pytest.raises(AnswerTooLarge):
        list(streamed(model, request(), Sender("data: " + "x" * 10_000_000)))


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        ({"error": "agent raised ValueError"}, ModelFailed, "agent raised ValueError"),
        ({"error": {"code": "rate_limit_exceeded", "message": "slow"}}, RateLimited, "slow"),
        ({"error_code": "INTERNAL_ERROR", "message": "x"}, ModelFailed, "INTERNAL_ERROR: x"),
        (chunk("no", "content_filter"), QuestionRefused, "content filter"),
        (chunk(None, "stop", refusal="I must not"), QuestionRefused, "declines: I must not"),
        ({"choices": [{"index": 1, "delta": {"content": "x"}}]}, AnswerMalformed, "a second answer"),
        ({"choices": [{"index": 0, "delta": "x"}]}, AnswerMalformed, "wanted an object, found a text"),
    ],
)
def test_what_goes_wrong_within_a_stream_has_a_name(
    model: ServingChat, event: dict[str, object], error: type[BridgeError], says: str
) -> None:
    """In-band at HTTP 200, and [DONE] after it as if nothing had been."""
    sender = Sender(sse(chunk("Wa"), event))

    with pytest.raises(error, match=says) as caught:
        list(streamed(model, request(), sender))
    assert type(caught.value) is error
    assert sender.closed


@pytest.mark.parametrize("data", ["hello", "[1]", '{"a": ', "null"])
def test_an_event_that_is_no_json_object_is_refused(model: ServingChat, data: str) -> None:
    with pytest.raises(AnswerMalformed, match="an event"):
        list(streamed(model, request(), Sender(f"data: {data}\n\ndata: [DONE]\n\n")))


def test_a_stream_that_ends_without_having_begun_is_refused(model: ServingChat) -> None:
    with pytest.raises(AnswerMalformed, match="without an answer in it"):
        list(streamed(model, request(), Sender("data: [DONE]\n\n")))


def test_what_has_no_choices_is_no_part_of_the_answer(model: ServingChat) -> None:
    pieces, answer = pieces_of(model, Sender(sse(chunk("Hi"), {"trace_id": "tr-1"}, {"ping": 1})))

    assert (pieces, answer.trace_id) == (["Hi"], "tr-1")


def test_nothing_is_waited_for_after_the_end(model: ServingChat) -> None:
    """A server that keeps the connection open after [DONE] does not hold the answer back."""
    sender = Sender(sse(chunk("Hi", "stop")), sse(chunk("and more")))

    pieces, _ = pieces_of(model, sender)

    assert (pieces, sender.sent, sender.closed) == (["Hi"], 1, True)


def test_whoever_stops_listening_closes_the_stream(model: ServingChat) -> None:
    sender = Sender(sse(chunk("a")), sse(chunk("b")))
    stream = streamed(model, request(), sender)
    next(stream)
    stream.close()

    assert (sender.sent, sender.closed) == (1, True)


# --- readiness ---


def state(ready: str | None, update: str | None, **more: Any) -> dict[str, object]:
    return {
        "name": "plant",
        "task": "llm/v1/chat",
        "state": {"ready": ready, "config_update": update},
        **more,
    }


def test_an_endpoint_is_ready_when_it_says_so(talk: Talk) -> None:
    found = talk.work(serving.ready("plant"), state("READY", "IN_PROGRESS"))

    assert talk.paths == ["GET /api/2.0/serving-endpoints/plant"]
    assert (found.ready, found.update, found.task) == (True, Update.IN_PROGRESS, "llm/v1/chat")


def test_an_endpoint_that_is_coming_is_waited_for(talk: Talk) -> None:
    """Each state is told once; one that we do not know is no end."""
    talk.work(
        serving.ready("plant"),
        state("NOT_READY", "IN_PROGRESS"),
        state("NOT_READY", "IN_PROGRESS"),
        state("NOT_READY", "WARMING"),
        state("READY", "NOT_UPDATING"),
    )

    assert talk.statuses == ["IN_PROGRESS", "UNKNOWN"]
    assert talk.waits_s == [5.0] * 3


@pytest.mark.parametrize("update", ["UPDATE_FAILED", "UPDATE_CANCELED"])
def test_an_endpoint_that_will_not_come_is_not_waited_for(talk: Talk, update: str) -> None:
    with pytest.raises(ServiceMisconfigured, match=rf"config_update {update}.*events under Serving"):
        talk.work(serving.ready("plant"), state("NOT_READY", update))


def test_an_endpoint_without_a_state_is_refused(talk: Talk) -> None:
    with pytest.raises(AnswerMalformed, match="state: wanted an object"):
        talk.work(serving.endpoint("plant"), {"name": "plant"})
