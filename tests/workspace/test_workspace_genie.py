"""Does Genie answer as scripted with SQL that really ran, through every status and into every end?"""

from __future__ import annotations

from typing import Any

import pytest
from workspace_client import PLANT, Client, document, refused, until

from simulator.workspace.genie_message import TERMINAL

SPACE = f"/api/2.0/genie/spaces/{PLANT}"
Message = dict[str, Any]


def ask(client: Client, question: str) -> str:
    """Start a conversation; the path of the message."""
    found = client.made(f"{SPACE}/start-conversation", {"content": question})
    return f"{SPACE}/conversations/{found['conversation_id']}/messages/{found['message_id']}"


def followed(client: Client, path: str) -> tuple[Message, list[str]]:
    """The message at its end, and every status on the way."""
    seen: list[str] = []

    def look() -> Message | None:
        message = client.found(path)
        if not seen or seen[-1] != message["status"]:
            seen.append(message["status"])
        return message if message["status"] in TERMINAL else None

    return until(look, "an end"), seen


def answered(client: Client, question: str) -> Message:
    return followed(client, ask(client, question))[0]


def parts(message: Message, kind: str) -> list[Any]:
    return [each[kind] for each in message.get("attachments", []) if kind in each]


def result(client: Client, message: Message, place: int = -1) -> dict[str, Any]:
    """The statement of one of its queries."""
    attachment = [each for each in message["attachments"] if "query" in each][place]["attachment_id"]
    path = f"{SPACE}/conversations/{message['conversation_id']}/messages/{message['message_id']}"
    found: dict[str, Any] = client.found(f"{path}/attachments/{attachment}/query-result")[
        "statement_response"
    ]
    return found


# ── the ordinary way ──────────────────────────────────────────────────────────────────────────────────────


def test_a_question_is_answered_from_the_plants_own_rows(engineer: Client) -> None:
    message, seen = followed(engineer, ask(engineer, "How hot is REACTOR_01 today?"))
    assert seen == [
        "FETCHING_METADATA",
        "FILTERING_CONTEXT",
        "ASKING_AI",
        "PENDING_WAREHOUSE",
        "EXECUTING_QUERY",
        "COMPLETED",
    ]
    assert message["content"] == "How hot is REACTOR_01 today?"
    (query,) = parts(message, "query")
    assert "'REACTOR_01'" in query["query"]
    assert query["query_result_metadata"] == {"row_count": 20, "is_truncated": False}
    (text,) = parts(message, "text")
    assert text == {"content": "REACTOR_01 is hot.", "purpose": "TEXT_ATTACHMENT_PURPOSE_ANSWER"}
    assert parts(message, "suggested_questions") == [{"questions": ["And the pressure?"]}]
    statement = result(engineer, message)
    assert statement["statement_id"] == query["statement_id"]
    names = [column["name"] for column in statement["manifest"]["schema"]["columns"]]
    assert names == ["equipment_id", "temperature", "timestamp"]
    assert statement["result"]["data_array"][0] == ["REACTOR_01", "80.1", "2026-11-21T08:00:01.000Z"]


def test_the_first_answer_says_both_ids_twice(engineer: Client) -> None:
    found = engineer.made(f"{SPACE}/start-conversation", {"content": "hello"})
    assert found["conversation"]["id"] == found["conversation_id"]
    assert found["message"]["id"] == found["message"]["message_id"] == found["message_id"]
    assert found["message"]["status"] == "SUBMITTED"
    assert "attachments" not in found["message"]


def test_a_question_that_fits_nothing_is_answered_with_a_question(engineer: Client) -> None:
    message, seen = followed(engineer, ask(engineer, "What is the meaning of it all?"))
    assert "EXECUTING_QUERY" not in seen
    assert parts(message, "query") == []
    assert parts(message, "text")[0]["purpose"] == "FOLLOW_UP_QUESTION"


def test_numbers_come_as_text_with_their_types(engineer: Client) -> None:
    statement = result(engineer, answered(engineer, "numbers"))
    types = [column["type_name"] for column in statement["manifest"]["schema"]["columns"]]
    assert types == ["LONG", "DECIMAL", "BOOLEAN"]
    assert statement["result"]["data_array"] == [["9007199254740993", "1.50", "true"]]


def test_at_most_5000_rows_in_chunks(engineer: Client) -> None:
    message = answered(engineer, "many rows")
    assert parts(message, "query")[0]["query_result_metadata"] == {"row_count": 5000, "is_truncated": True}
    statement = result(engineer, message)
    assert statement["manifest"]["truncated"]
    assert statement["manifest"]["total_chunk_count"] == 5
    assert len(statement["result"]["data_array"]) == 1000
    second = engineer.found(statement["result"]["next_chunk_internal_link"])
    assert second["data_array"][0] == ["1001"]


def test_a_follow_up_is_in_the_same_conversation(engineer: Client) -> None:
    first = answered(engineer, "numbers")
    conversation = f"{SPACE}/conversations/{first['conversation_id']}"
    second = engineer.made(f"{conversation}/messages", {"content": "How hot is REACTOR_01?"})
    assert second["conversation_id"] == first["conversation_id"]
    done, _ = followed(engineer, f"{conversation}/messages/{second['message_id']}")
    assert done["status"] == "COMPLETED"
    listed = engineer.found(f"{conversation}/messages")["messages"]
    assert [each["content"] for each in listed] == ["numbers", "How hot is REACTOR_01?"]


def test_time_moves_a_slow_answer_on(engineer: Client) -> None:
    path = ask(engineer, "slowly please")
    assert [engineer.found(path)["status"] for _ in range(3)] == ["SUBMITTED"] * 3
    engineer.workspace.advance(30)
    assert engineer.found(path)["status"] == "ASKING_AI"
    engineer.workspace.advance(30)
    assert engineer.found(path)["status"] == "COMPLETED"


def test_what_the_question_says_stays_within_quotes(engineer: Client) -> None:
    statement = result(engineer, answered(engineer, "say it's '; delete from x; --"))
    assert statement["result"]["data_array"] == [["it's '; delete from x; --"]]


def test_sql_that_is_wrong_fails_the_question(engineer: Client) -> None:
    message = answered(engineer, "nonsense")
    assert message["status"] == "FAILED"
    assert message["error"]["type"] == "SQL_EXECUTION_EXCEPTION"
    assert "SQLSTATE: 42P01" in message["error"]["error"]


def test_genie_only_reads(engineer: Client) -> None:
    message = answered(engineer, "drop")
    assert "read-only" in message["error"]["error"]


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────


def test_five_questions_a_minute_over_all_spaces_and_polls_are_free(engineer: Client) -> None:
    paths = [ask(engineer, "numbers") for _ in range(4)]
    other = "/api/2.0/genie/spaces/01ef0000000000000000000000000002"
    engineer.made(f"{other}/start-conversation", {"content": "anything"})
    for _ in range(20):
        engineer.found(paths[0])
    answer = engineer.post(f"{SPACE}/start-conversation", {"content": "numbers"})
    refused(answer, 429, "REQUEST_LIMIT_EXCEEDED", "5 questions")
    assert "Retry-After" not in answer.headers
    follow_up = engineer.post(paths[0].rpartition("/")[0], {"content": "numbers"})
    assert follow_up.status_code == 429
    engineer.workspace.advance(61)
    ask(engineer, "numbers")


@pytest.mark.parametrize("content", ["", "   "])
def test_an_empty_question_is_refused_and_not_counted(engineer: Client, content: str) -> None:
    for _ in range(6):
        refused(
            engineer.post(f"{SPACE}/start-conversation", {"content": content}), 400, "INVALID_PARAMETER_VALUE"
        )
    ask(engineer, "numbers")


# ── the other ends ────────────────────────────────────────────────────────────────────────────────────────


def test_a_scripted_failure(engineer: Client) -> None:
    message = answered(engineer, "broken")
    assert message["status"] == "FAILED"
    assert message["error"] == {"type": "CHAT_COMPLETION_NETWORK_EXCEPTION", "error": "network"}


def test_genie_failed_takes_the_type_that_was_asked_for(engineer: Client) -> None:
    engineer.workspace.fault("genie_failed =RATE_LIMIT_EXCEEDED_GENERIC_EXCEPTION")
    message = answered(engineer, "numbers")
    assert (message["status"], message["error"]["type"]) == (
        "FAILED",
        "RATE_LIMIT_EXCEEDED_GENERIC_EXCEPTION",
    )
    assert answered(engineer, "numbers")["status"] == "COMPLETED"


def test_genie_cancelled(engineer: Client) -> None:
    engineer.workspace.fault("genie_cancelled")
    assert answered(engineer, "numbers")["status"] == "CANCELLED"


def test_genie_expired_can_be_run_again(engineer: Client) -> None:
    engineer.workspace.fault("genie_expired")
    message = answered(engineer, "numbers")
    assert message["status"] == "QUERY_RESULT_EXPIRED"
    again(engineer, message)


def again(engineer: Client, message: Message) -> None:
    """Its result is not to be had, until the query is executed once more."""
    (attachment,) = [each["attachment_id"] for each in message["attachments"] if "query" in each]
    path = f"{SPACE}/conversations/{message['conversation_id']}/messages/{message['message_id']}"
    gone = engineer.get(f"{path}/attachments/{attachment}/query-result")
    refused(gone, 400, "INVALID_PARAMETER_VALUE", "QUERY_RESULT_EXPIRED")
    engineer.made(f"{path}/attachments/{attachment}/execute-query")

    def rows() -> list[list[str]] | None:
        found = engineer.found(f"{path}/attachments/{attachment}/query-result")["statement_response"]
        shown: list[list[str]] | None = found.get("result", {}).get("data_array")
        return shown

    assert until(rows, "the result")[0][0] == "9007199254740993"


def test_a_result_expires_after_an_hour_by_itself(engineer: Client) -> None:
    message = answered(engineer, "numbers")
    engineer.workspace.advance(3601)
    path = f"{SPACE}/conversations/{message['conversation_id']}/messages/{message['message_id']}"
    assert engineer.found(path)["status"] == "QUERY_RESULT_EXPIRED"
    again(engineer, message)


def test_genie_stuck_stays_for_ever(engineer: Client) -> None:
    engineer.workspace.fault("genie_stuck")
    path = ask(engineer, "numbers")
    seen = [engineer.found(path)["status"] for _ in range(10)]
    engineer.workspace.advance(86_400)
    assert engineer.found(path)["status"] == seen[-1] == "ASKING_AI"


def test_genie_unknown_status_is_passed_through(engineer: Client) -> None:
    engineer.workspace.fault("genie_unknown_status")
    message, seen = followed(engineer, ask(engineer, "numbers"))
    assert "CONSULTING_ORACLE" in seen
    assert message["status"] == "COMPLETED"


def test_genie_empty_has_no_attachments(engineer: Client) -> None:
    engineer.workspace.fault("genie_empty")
    message = answered(engineer, "How hot is REACTOR_01?")
    assert message["status"] == "COMPLETED"
    assert "attachments" not in message


def test_genie_forbidden_fails_with_words_and_suggestions(engineer: Client) -> None:
    engineer.workspace.fault("genie_forbidden")
    message = answered(engineer, "numbers")
    assert message["status"] == "FAILED"
    assert "INSUFFICIENT_PERMISSIONS" in message["error"]["error"]
    assert parts(message, "suggested_questions")


def test_genie_self_correction_attaches_both_queries(engineer: Client) -> None:
    engineer.workspace.fault("genie_self_correction")
    message, seen = followed(engineer, ask(engineer, "How hot is REACTOR_01?"))
    assert seen[-4:] == ["EXECUTING_QUERY", "ASKING_AI", "EXECUTING_QUERY", "COMPLETED"]
    kinds = [next(iter(set(each) - {"attachment_id"})) for each in message["attachments"]]
    assert kinds == ["query", "text", "query", "text", "suggested_questions"]
    assert result(engineer, message, 0)["status"]["state"] == "FAILED"
    assert result(engineer, message, 1)["status"]["state"] == "SUCCEEDED"


def test_genie_injection_carries_what_must_not_be_believed(engineer: Client) -> None:
    engineer.workspace.fault("genie_injection")
    (text,) = parts(answered(engineer, "How hot is REACTOR_01?"), "text")
    for danger in ("<script>", "drop table", "IGNORE ALL PREVIOUS INSTRUCTIONS", "\u202e", "\x1b["):
        assert danger in text["content"]


def test_a_starting_warehouse_holds_the_question(engineer: Client) -> None:
    engineer.workspace.fault("warehouse_starting 60s")
    path = ask(engineer, "numbers")
    assert [engineer.found(path)["status"] for _ in range(8)][-4:] == ["PENDING_WAREHOUSE"] * 4
    engineer.workspace.advance(60)
    assert followed(engineer, path)[0]["status"] == "COMPLETED"


def test_a_stopped_warehouse_fails_the_question(engineer: Client) -> None:
    engineer.workspace.fault("warehouse_stopped")
    message = answered(engineer, "numbers")
    assert message["error"]["type"] == "WAREHOUSE_ACCESS_MISSING_EXCEPTION"


def test_a_statement_for_ever_keeps_it_executing(engineer: Client) -> None:
    engineer.workspace.fault("statement_for_ever")
    path = ask(engineer, "numbers")
    assert [engineer.found(path)["status"] for _ in range(12)][-3:] == ["EXECUTING_QUERY"] * 3


# ── around it ─────────────────────────────────────────────────────────────────────────────────────────────


def test_spaces_are_listed_in_pages(engineer: Client) -> None:
    first = engineer.found("/api/2.0/genie/spaces", page_size=1)
    second = engineer.found("/api/2.0/genie/spaces", page_size=1, page_token=first["next_page_token"])
    assert [each["title"] for each in (*first["spaces"], *second["spaces"])] == ["Plant", "Maintenance"]
    assert "next_page_token" not in second
    refused(
        engineer.get("/api/2.0/genie/spaces", page_token="x"), 400, "INVALID_PARAMETER_VALUE", "page_token"
    )


def test_a_space_that_does_not_exist(engineer: Client) -> None:
    path = "/api/2.0/genie/spaces/01ef00000000000000000000000000ff"
    refused(engineer.get(path), 404, "RESOURCE_DOES_NOT_EXIST")
    refused(engineer.post(f"{path}/start-conversation", {"content": "x"}), 404, "RESOURCE_DOES_NOT_EXIST")


def test_the_serialized_space_wants_the_right_to_edit(engineer: Client, service: Client) -> None:
    assert engineer.found(SPACE, include_serialized_space="true")["serialized_space"]
    refused(service.get(SPACE, include_serialized_space="true"), 403, "PERMISSION_DENIED")


def test_a_conversation_is_its_owners(engineer: Client, service: Client) -> None:
    path = ask(engineer, "numbers")
    refused(service.get(path), 404, "RESOURCE_DOES_NOT_EXIST")
    assert len(engineer.found(f"{SPACE}/conversations")["conversations"]) == 1
    assert "conversations" not in service.found(f"{SPACE}/conversations")


def test_feedback_and_comments(engineer: Client) -> None:
    path = ask(engineer, "numbers")
    assert engineer.made(f"{path}/feedback", {"rating": "NEGATIVE", "comment": "wrong reactor"}) == {}
    assert engineer.found(path)["feedback"] == {"rating": "NEGATIVE"}
    engineer.made(f"{path}/comments", {"content": "again"})
    texts = [each["content"] for each in engineer.found(f"{path}/comments")["comments"]]
    assert texts == ["wrong reactor", "again"]
    refused(engineer.post(f"{path}/feedback", {"rating": "GOOD"}), 400, "INVALID_PARAMETER_VALUE", "rating")


def test_messages_and_conversations_can_be_deleted(engineer: Client) -> None:
    path = ask(engineer, "numbers")
    conversation = path.rpartition("/messages")[0]
    document(engineer.ask("DELETE", path))
    refused(engineer.get(path), 404, "RESOURCE_DOES_NOT_EXIST")
    document(engineer.ask("DELETE", conversation))
    refused(engineer.get(f"{conversation}/messages"), 404, "RESOURCE_DOES_NOT_EXIST")


def test_a_result_before_its_time_is_refused(engineer: Client) -> None:
    path = ask(engineer, "numbers")
    refused(engineer.get(f"{path}/attachments/none/query-result"), 404, "RESOURCE_DOES_NOT_EXIST")
