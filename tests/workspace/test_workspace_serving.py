"""Do chat models and agents answer in one piece and in a stream, and fail in each way a stream can?"""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from workspace_client import DEADLINE_S, Client, refused

ADVISOR = "/serving-endpoints/advisor/invocations"
AGENT = "/serving-endpoints/agent/invocations"


def chat(words: str, **fields: object) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "ten"}, {"role": "user", "content": words}], **fields}


def talk(words: str, **fields: object) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": words}], **fields}


def lines(client: Client, path: str, body: dict[str, Any]) -> list[str]:
    """What follows ``data:`` in a stream, as it came."""
    with client.session.post(
        client.workspace.host + path, json={**body, "stream": True}, stream=True, timeout=DEADLINE_S
    ) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "text/event-stream"
        found = []
        for line in answer.iter_lines(decode_unicode=True):
            if line:
                assert line.startswith("data: ")
                found.append(line.removeprefix("data: "))
        return found


def events(client: Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream that ends as it should."""
    *found, last = lines(client, path, body)
    assert last == "[DONE]"
    return [json.loads(line) for line in found]


# ── chat ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_chat_model_answers(engineer: Client) -> None:
    answer = engineer.post(ADVISOR, chat("as json please"))
    found = answer.json()
    assert answer.headers["served-model-name"] == found["model"] == "advisor-1"
    assert found["object"] == "chat.completion"
    (choice,) = found["choices"]
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
    assert json.loads(choice["message"]["content"]) == {"root_cause": "heat", "confidence": 0.5}
    assert (
        found["usage"]["total_tokens"]
        == found["usage"]["prompt_tokens"] + found["usage"]["completion_tokens"]
    )


def test_the_prompt_is_what_the_user_said_last(engineer: Client) -> None:
    found = engineer.made(ADVISOR, chat("anything else"))
    assert found["choices"][0]["message"]["content"] == "You said: anything else"
    in_parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "in parts"}]}]}
    assert engineer.made(ADVISOR, in_parts)["choices"][0]["message"]["content"] == "You said: in parts"


def test_it_streams_in_small_pieces(engineer: Client) -> None:
    found = events(engineer, ADVISOR, chat("ten words"))
    assert {each["object"] for each in found} == {"chat.completion.chunk"}
    words = [each["choices"][0]["delta"].get("content", "") for each in found]
    assert "".join(words) == "one two three four five six seven eight nine ten"
    assert len(words) > 5
    assert found[-1]["choices"][0]["finish_reason"] == "stop"
    assert found[-1]["usage"]["completion_tokens"] == 10


def test_it_stops_at_max_tokens(engineer: Client) -> None:
    (choice,) = engineer.made(ADVISOR, chat("ten words", max_tokens=3))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two three", "length")


def test_too_many_max_tokens_are_a_rate_limit(engineer: Client) -> None:
    refused(
        engineer.post(ADVISOR, chat("ten", max_tokens=100_000)), 429, "REQUEST_LIMIT_EXCEEDED", "up front"
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": ["hello"]},
        {"messages": [{"role": "operator", "content": "x"}]},
        {"messages": [{"role": "user", "content": 5}]},
        chat("x", temperature=3),
        chat("x", max_tokens=0),
        chat("x", max_completion_tokens=5),
        {"input": [{"role": "user", "content": "x"}]},
        {"dataframe_records": [{}]},
    ],
)
def test_a_request_that_is_none_is_refused(engineer: Client, body: dict[str, Any]) -> None:
    refused(engineer.post(ADVISOR, body), 400, "INVALID_PARAMETER_VALUE")


def test_a_request_of_more_than_4_mb_is_refused(engineer: Client) -> None:
    refused(engineer.post(ADVISOR, chat("x" * (4 * 1024 * 1024))), 400, "BAD_REQUEST", "larger than")


def test_an_error_of_the_model_is_a_400_or_within_the_stream(engineer: Client) -> None:
    refused(engineer.post(ADVISOR, chat("fail")), 400, "BAD_REQUEST", "no capacity")
    assert events(engineer, ADVISOR, chat("fail")) == [{"error": "no capacity"}]


# ── agents ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_answers(engineer: Client) -> None:
    found = engineer.made(AGENT, talk("hello", context={"conversation_id": "c"}))
    assert (found["object"], found["status"]) == ("response", "completed")
    (item,) = found["output"]
    assert item["content"] == [{"type": "output_text", "text": "good day to you", "annotations": []}]


def test_an_agent_streams_deltas_and_says_it_all_again_at_the_end(engineer: Client) -> None:
    found = events(engineer, AGENT, talk("hello"))
    assert [each["type"] for each in found] == [
        "response.in_progress",
        *["response.output_text.delta"] * 4,
        "response.output_item.done",
        "response.completed",
    ]
    deltas = "".join(each["delta"] for each in found if "delta" in each)
    done = found[-2]["item"]
    assert deltas == done["content"][0]["text"] == "good day to you"
    assert {each["item_id"] for each in found if "item_id" in each} == {done["id"]}


def test_an_agents_error_comes_at_200(engineer: Client) -> None:
    engineer.workspace.fault("stream_error x2")
    found = engineer.made(AGENT, talk("hello"))
    assert (found["status"], found["output"]) == ("failed", [])
    assert found["error"]["message"]
    assert list(events(engineer, AGENT, talk("hello"))[0]) == ["error"]


def test_an_agent_wants_input_and_a_model_messages(engineer: Client) -> None:
    refused(engineer.post(AGENT, chat("hello")), 400, "INVALID_PARAMETER_VALUE", "messages")


# ── faults ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("path", "body"), [(ADVISOR, chat("ten")), (AGENT, talk("hello"))])
def test_a_cut_stream_breaks_off(engineer: Client, path: str, body: dict[str, Any]) -> None:
    engineer.workspace.fault("stream_cut")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        lines(engineer, path, body)
    assert lines(engineer, path, body)[-1] == "[DONE]"


@pytest.mark.parametrize(("path", "body"), [(ADVISOR, chat("ten")), (AGENT, talk("hello"))])
def test_a_short_stream_ends_without_done(engineer: Client, path: str, body: dict[str, Any]) -> None:
    engineer.workspace.fault("stream_short")
    found = lines(engineer, path, body)
    assert found
    assert "[DONE]" not in found
    assert all("finish_reason" not in line or '"finish_reason": null' in line for line in found)


def test_model_prose_wraps_what_should_be_json(engineer: Client) -> None:
    engineer.workspace.fault("model_prose")
    content = engineer.made(ADVISOR, chat("json"))["choices"][0]["message"]["content"]
    assert "```json" in content
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(content)


def test_readiness(engineer: Client) -> None:
    listed = {
        each["name"]: each["state"] for each in engineer.found("/api/2.0/serving-endpoints")["endpoints"]
    }
    assert listed["advisor"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert listed["asleep"]["ready"] == "NOT_READY"
    asleep = engineer.post("/serving-endpoints/asleep/invocations", chat("x"))
    refused(asleep, 404, "RESOURCE_DOES_NOT_EXIST", "not ready")
    engineer.workspace.fault("model_not_ready")
    assert engineer.found("/api/2.0/serving-endpoints/advisor")["state"]["ready"] == "NOT_READY"
    refused(engineer.post(ADVISOR, chat("x")), 503, "TEMPORARILY_UNAVAILABLE")
    engineer.workspace.clear("model_not_ready")
    assert engineer.post(ADVISOR, chat("x")).status_code == 200


def test_an_endpoint_that_does_not_exist(engineer: Client) -> None:
    answer = engineer.post("/serving-endpoints/none/invocations", chat("x"))
    refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", "'none'")
    refused(
        engineer.post("/api/2.0/serving-endpoints/advisor/invocations", chat("x")), 404, "ENDPOINT_NOT_FOUND"
    )
