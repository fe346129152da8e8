"""Does a question to Genie end in an answer with its rows, or in words that say what happened and what to do?"""

from __future__ import annotations

from typing import Any

import pytest
from by_hand import HandClock, Talk, until_call
from genie_words import (
    ATTACHMENT,
    CONVERSATION,
    MESSAGE,
    SPACE,
    message,
    pending,
    query,
    rows,
    started,
    suggestions,
    text,
)

from bridge.databricks import genie
from bridge.databricks.genie import Genie, Rating
from bridge.databricks.genie_answer import Provenance
from bridge.databricks.genie_limits import AnswerMemory, Turns
from bridge.errors import (
    AccessDenied,
    AnswerLost,
    AnswerMalformed,
    AnswerTooLarge,
    BridgeError,
    ConfigError,
    DeadlineExceeded,
    ModelFailed,
    QuestionCancelled,
    QuestionRefused,
    RateLimited,
    ServiceMisconfigured,
    WorkspaceDown,
    WorkspaceRefused,
)

BASE = f"/api/2.0/genie/spaces/{SPACE}"
OF_MESSAGE = f"{BASE}/conversations/{CONVERSATION}/messages/{MESSAGE}"
OF_ATTACHMENT = f"{OF_MESSAGE}/attachments/{ATTACHMENT}"
IDS = Provenance(space_id=SPACE, conversation_id=CONVERSATION, message_id=MESSAGE)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def turns(clock: HandClock) -> Turns:
    return Turns(clock, per_minute=5)


@pytest.fixture
def asker(turns: Turns) -> Genie:
    return Genie(turns)


@pytest.fixture
def talk(clock: HandClock) -> Talk:
    return Talk(clock)


def ask(asker: Genie, **more: Any) -> Any:
    return asker.ask(SPACE, " why is it hot? ", **{"patience_s": 0, **more})


def failed(error_type: str | None, words: str | None = "it broke", *attachments: Any) -> dict[str, object]:
    return message("FAILED", *attachments, error={"type": error_type, "error": words})


def free_turns(turns: Turns) -> int:
    """How many questions may be asked right now."""
    taken = []
    try:
        while True:
            taken.append(turns.take(patience_s=0))
    except RateLimited:
        return len(taken)
    finally:
        for turn in taken:
            turns.give_back(turn)


def test_a_question_is_asked_watched_and_answered_with_its_rows(asker: Genie, talk: Talk) -> None:
    """One start, looks with growing pauses, one fetch; each status is told once."""
    answer = talk.work(
        ask(asker),
        started(),
        message("FETCHING_METADATA"),
        message("ASKING_AI"),
        message("ASKING_AI"),
        message("EXECUTING_QUERY"),
        message("COMPLETED", query("select max(t) from r", title="Hottest"), text("It is 91 °C.")),
        rows([("t", "DOUBLE")], [["91.5"]]),
    )

    assert talk.paths == [
        f"POST {BASE}/start-conversation",
        *[f"GET {OF_MESSAGE}"] * 5,
        f"GET {OF_ATTACHMENT}/query-result",
    ]
    assert talk.calls[0].body == {"content": "why is it hot?"}
    assert not talk.calls[0].may_repeat
    assert talk.statuses == ["SUBMITTED", "FETCHING_METADATA", "ASKING_AI", "EXECUTING_QUERY", "COMPLETED"]
    assert talk.waits_s == [1.0, 1.5, 2.25, 3.375, 5.0]
    assert (answer.question, answer.text, answer.sql, answer.title) == (
        "why is it hot?",
        "It is 91 °C.",
        "select max(t) from r",
        "Hottest",
    )
    assert answer.rows == ((91.5,),)
    assert [(column.name, column.type_name) for column in answer.columns] == [("t", "DOUBLE")]
    assert not answer.truncated
    assert not answer.ran_again
    assert answer.provenance == Provenance(
        space_id=SPACE,
        conversation_id=CONVERSATION,
        message_id=MESSAGE,
        attachment_id=ATTACHMENT,
        statement_id="st-rows",
    )


def test_an_answer_in_words_alone_fetches_no_rows(asker: Genie, talk: Talk) -> None:
    answer = talk.work(ask(asker), started("COMPLETED") | {"message": message("COMPLETED", text("Hello."))})

    assert answer.text == "Hello."
    assert (answer.sql, answer.rows, answer.columns, answer.total_rows) == ("", (), (), None)
    assert talk.waits_s == []


def test_a_start_without_the_message_is_looked_after_at_once(asker: Genie, talk: Talk) -> None:
    """The two ids are enough; numbers are ids as well."""
    answer = talk.work(
        ask(asker),
        {"conversation_id": 12345678901234567890, "message_id": 9007199254740993},
        message("COMPLETED", text("ok"), conversation_id=None, message_id=None, id=None, space_id=None),
    )

    assert talk.paths[1] == f"GET {BASE}/conversations/12345678901234567890/messages/9007199254740993"
    assert answer.provenance.message_id == "9007199254740993"


def test_of_several_queries_the_last_counts_and_words_between_them_are_dropped(
    asker: Genie, talk: Talk
) -> None:
    """Genie corrects itself: what it said between its own attempts is part of the error."""
    answer = talk.work(
        ask(asker),
        started()
        | {
            "message": message(
                "COMPLETED",
                text("before"),
                query("select wrong", attachment_id="a1"),
                text("oops, once more"),
                query("select wrong again", attachment_id="a2"),
                text("and now"),
                query("select right", attachment_id="a3"),
                text("after"),
                suggestions("and the pump?"),
                text("which reactor?", "FOLLOW_UP_QUESTION"),
                text("and which day?", "TEXT_ATTACHMENT_PURPOSE_FOLLOW_UP_QUESTION"),
                {"attachment_id": "v", "viz": {"spec": "{}"}},
                {"attachment_id": "n", "hologram": {"spec": 1}},
            )
        },
        rows(),
    )

    assert answer.text == "before\n\nafter"
    assert answer.asks_back == "which reactor?\n\nand which day?"
    assert answer.sql == "select right"
    assert answer.provenance.attachment_id == "a3"
    assert talk.paths[1] == f"GET {OF_MESSAGE}/attachments/a3/query-result"
    assert answer.suggested_questions == ("and the pump?",)
    assert answer.unread == ("hologram",)


def test_an_unknown_status_is_not_the_end(asker: Genie, talk: Talk) -> None:
    """Only the four final states end the watch; what is newer than us, or missing, goes on."""
    answer = talk.work(
        ask(asker),
        started("PONDERING"),
        message("PONDERING"),
        message(None),
        message("EXECUTING_QUERY"),
        message("ASKING_AI"),
        message("COMPLETED", text("done")),
    )

    assert answer.text == "done"
    assert talk.statuses == ["PONDERING", "NO_STATUS", "EXECUTING_QUERY", "ASKING_AI", "COMPLETED"]


def test_rows_that_have_expired_are_queried_again(asker: Genie, talk: Talk) -> None:
    """The fourth final state: the query runs once more, and its rows may take a while."""
    answer = talk.work(
        ask(asker),
        started(),
        message("QUERY_RESULT_EXPIRED", query()),
        pending("PENDING"),
        pending("RUNNING"),
        rows([("n", "LONG")], [["7"]]),
    )

    assert talk.paths[2:] == [
        f"POST {OF_ATTACHMENT}/execute-query",
        f"GET {OF_ATTACHMENT}/query-result",
        f"GET {OF_ATTACHMENT}/query-result",
    ]
    assert talk.calls[2].may_repeat
    assert answer.rows == ((7,),)
    assert answer.ran_again
    assert talk.statuses[-3:] == ["QUERY_RESULT_EXPIRED", "QUERY_PENDING", "QUERY_RUNNING"]


def test_a_result_that_is_gone_when_fetched_is_queried_again_once(asker: Genie, talk: Talk) -> None:
    answer = talk.work(
        ask(asker),
        started(),
        message("COMPLETED", query()),
        pending("CLOSED"),
        rows([("n", "LONG")], [["3"]]),
    )

    assert answer.ran_again
    assert talk.paths[3] == f"POST {OF_ATTACHMENT}/execute-query"

    with pytest.raises(ModelFailed, match="gone again"):
        Talk().work(
            ask(asker), started(), message("COMPLETED", query()), pending("CLOSED"), pending("CLOSED")
        )


@pytest.mark.parametrize(
    ("error_type", "words", "error", "says"),
    [
        ("RATE_LIMIT_EXCEEDED_GENERIC_EXCEPTION", "slow down", RateLimited, "in a minute"),
        ("RATE_LIMIT_EXCEEDED_SPECIFIED_WAIT_EXCEPTION", "wait 12 s", RateLimited, "wait 12 s"),
        ("RETRYABLE_PROCESSING_EXCEPTION", "hiccup", ModelFailed, "may be asked again"),
        ("CHAT_COMPLETION_CLIENT_TIMEOUT_EXCEPTION", "late", ModelFailed, "may be asked again"),
        ("CHAT_COMPLETION_NETWORK_EXCEPTION", "net", ModelFailed, "may be asked again"),
        ("REPLY_PROCESS_TIMEOUT_EXCEPTION", "late", ModelFailed, "may be asked again"),
        ("WAREHOUSE_NOT_FOUND_EXCEPTION", "no wh", ServiceMisconfigured, "mend it"),
        ("TABLES_MISSING_EXCEPTION", "no t", ServiceMisconfigured, "mend it"),
        ("NO_TABLES_TO_QUERY_EXCEPTION", "none", ServiceMisconfigured, "mend it"),
        ("SQL_EXECUTION_EXCEPTION", "[DIVIDE_BY_ZERO]", QuestionRefused, "DIVIDE_BY_ZERO"),
        ("CONTENT_FILTER_EXCEPTION", "no", QuestionRefused, "other words"),
        ("CONTEXT_EXCEEDED_EXCEPTION", "long", QuestionRefused, "other words"),
        ("WAREHOUSE_ACCESS_MISSING_EXCEPTION", "no", AccessDenied, "CAN USE"),
        ("SQL_EXECUTION_EXCEPTION", "User does not have SELECT privilege on t", AccessDenied, "SELECT on"),
        (None, "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: table", AccessDenied, "SELECT on"),
        ("MESSAGE_CANCELLED_WHILE_EXECUTING_EXCEPTION", "", QuestionCancelled, "still wanted"),
        ("BRAND_NEW_EXCEPTION", "?", ModelFailed, "BRAND_NEW_EXCEPTION: ? (a type that is not known here)"),
        (None, None, ModelFailed, "does not say why"),
    ],
)
def test_each_way_to_fail_is_an_error_that_says_what_helps(
    asker: Genie, talk: Talk, error_type: str | None, words: str | None, error: type[BridgeError], says: str
) -> None:
    """Retry-worthy, at fault there, at fault in the question, without rights: four kinds, four classes."""
    with pytest.raises(error) as caught:
        talk.work(ask(asker), started(), failed(error_type, words))

    assert type(caught.value) is error
    assert says in str(caught.value)
    assert f"conversation {CONVERSATION}, message {MESSAGE}" in str(caught.value)


def test_a_failure_shows_what_genie_suggests_instead(asker: Genie, talk: Talk) -> None:
    with pytest.raises(AccessDenied, match=r"It suggests: which tables are there\? \| how many rows\?"):
        talk.work(
            ask(asker),
            started(),
            failed(
                None, "you do not have permission", suggestions("which tables\n are there?", "how many rows?")
            ),
        )


def test_a_cancelled_question_is_final(asker: Genie, talk: Talk) -> None:
    """The official client polls for 20 minutes here."""
    with pytest.raises(QuestionCancelled, match="cancelled in the workspace"):
        talk.work(ask(asker), started(), message("CANCELLED"))


@pytest.mark.parametrize(
    ("statement", "error", "says"),
    [
        (
            pending("FAILED", error={"error_code": "BAD_REQUEST", "message": "no such column"}),
            QuestionRefused,
            "no such",
        ),
        (pending("FAILED", error={"message": "PERMISSION_DENIED: no USE CATALOG"}), AccessDenied, "CAN RUN"),
        (pending("FAILED"), QuestionRefused, "does not say why"),
        (pending("CANCELED"), QuestionCancelled, "query was cancelled"),
    ],
)
def test_a_query_that_fails_when_its_rows_are_fetched(
    asker: Genie, talk: Talk, statement: dict[str, object], error: type[BridgeError], says: str
) -> None:
    with pytest.raises(error, match=says):
        talk.work(ask(asker), started(), message("COMPLETED", query()), statement)


def test_a_lost_answer_is_told_and_the_question_not_asked_again(
    asker: Genie, talk: Talk, turns: Turns
) -> None:
    """It may have been asked, so it counts against the minute."""
    with pytest.raises(AnswerLost):
        talk.work(ask(asker), AnswerLost("the request left and no answer came"))

    assert len(talk.calls) == 1
    assert free_turns(turns) == 4


@pytest.mark.parametrize(
    "error",
    [
        WorkspaceDown("cannot be reached"),
        WorkspaceRefused("no such space", status=404),
        AccessDenied("no token"),
        DeadlineExceeded("no time was left to ask"),
    ],
)
def test_a_question_that_surely_was_not_asked_gives_its_turn_back(
    asker: Genie, talk: Talk, turns: Turns, error: BridgeError
) -> None:
    with pytest.raises(type(error)):
        talk.work(ask(asker), error)

    assert free_turns(turns) == 5


def test_a_workspace_that_wants_us_to_wait_holds_all_questions(
    asker: Genie, talk: Talk, turns: Turns
) -> None:
    """429 means that others asked as well: nobody asks before the time it named."""
    with pytest.raises(RateLimited):
        talk.work(ask(asker), RateLimited("too many requests", retry_after_s=42))

    with pytest.raises(RateLimited, match="next turn is in 42 s and there is time for 41 s"):
        talk.work(ask(asker, patience_s=41))
    assert turns.take(patience_s=42).wait_s == 42


def test_a_question_waits_for_its_turn_or_is_refused_at_once(
    asker: Genie, clock: HandClock, turns: Turns
) -> None:
    """With the minute used up, whoever has no time for a turn hears so now and not at the end of it."""
    done = started() | {"message": message("COMPLETED", text("ok"))}
    for _ in range(5):
        Talk(clock).work(ask(asker), done)
    refused, waiting = Talk(clock), Talk(clock)

    with pytest.raises(RateLimited, match="all 5 questions a minute of this workspace are taken"):
        refused.work(ask(asker, patience_s=60))
    waiting.work(ask(asker, patience_s=61), done)

    assert refused.calls == []
    assert waiting.waits_s == [61.0]
    assert waiting.statuses == ["WAITING_FOR_TURN", "COMPLETED"]


def test_whoever_gives_up_while_waiting_gives_the_turn_back(
    asker: Genie, clock: HandClock, turns: Turns
) -> None:
    """A cancelled task closes its conversation; what was not asked yet does not count."""
    for _ in range(5):
        turns.take(patience_s=0)
    steps = ask(asker, patience_s=100)
    next(steps)
    next(steps)
    steps.close()

    assert turns.take(patience_s=100).wait_s == 61


def test_whoever_is_cancelled_while_asking_may_have_asked(asker: Genie, turns: Turns) -> None:
    steps = ask(asker)
    until_call(steps)
    steps.close()

    assert free_turns(turns) == 4


def test_an_absence_of_the_workspace_while_waiting_is_outlasted(asker: Genie, talk: Talk) -> None:
    """The question goes on over there: looking again is free and harmless."""
    answer = talk.work(
        ask(asker),
        started(),
        WorkspaceDown("silence"),
        WorkspaceDown("silence", retry_after_s=9),
        message("COMPLETED", query()),
        RateLimited("slow down", retry_after_s=2),
        rows(),
    )

    assert answer.rows == ((1,),)
    assert talk.statuses == ["SUBMITTED", "UNREACHABLE", "COMPLETED", "UNREACHABLE"]
    assert talk.waits_s == [1.0, 5.0, 9.0, 5.0]


def test_the_deadline_says_where_the_question_goes_on(asker: Genie, talk: Talk) -> None:
    with pytest.raises(DeadlineExceeded, match=rf"{MESSAGE}.*last seen: ASKING_AI.*can be picked up"):
        talk.work(
            ask(asker), started("ASKING_AI"), DeadlineExceeded(f"Genie: look at the question ({IDS}): late")
        )


def test_a_question_can_be_picked_up_later_without_a_turn(asker: Genie, talk: Talk, turns: Turns) -> None:
    answer = talk.work(
        asker.pick_up(IDS, "why?"), message("ASKING_AI"), message("COMPLETED", query()), rows()
    )

    assert talk.paths[0] == f"GET {OF_MESSAGE}"
    assert answer.question == "why?"
    assert free_turns(turns) == 5


def test_a_follow_up_stays_in_its_conversation(asker: Genie, talk: Talk, turns: Turns) -> None:
    answer = talk.work(
        asker.follow_up(IDS, "and yesterday?", patience_s=0),
        message("SUBMITTED", message_id="m2", id="m2"),
        message("COMPLETED", text("cooler"), message_id="m2", id="m2"),
    )

    assert talk.paths == [
        f"POST {BASE}/conversations/{CONVERSATION}/messages",
        f"GET {BASE}/conversations/{CONVERSATION}/messages/m2",
    ]
    assert not talk.calls[0].may_repeat
    assert answer.provenance.message_id == "m2"
    assert free_turns(turns) == 4


def test_the_same_question_is_answered_from_memory(turns: Turns, clock: HandClock) -> None:
    """Without a call and without a turn, with its age; other spaces and other words are other questions."""
    asker = Genie(turns, AnswerMemory(clock, keep_s=100))
    done = started() | {"message": message("COMPLETED", text("ok"))}
    first = Talk(clock).work(ask(asker), done)
    clock.passed_s += 30
    again = Talk(clock)

    remembered = again.work(asker.ask(SPACE, "why  is it\nhot", patience_s=0))
    Talk(clock).work(asker.ask("other", "why is it hot?", patience_s=0), done)
    Talk(clock).work(ask(asker, fresh=True), done)

    assert again.calls == []
    assert again.statuses == ["REMEMBERED"]
    assert (first.age_s, remembered.age_s) == (0, 30)
    assert remembered.text == "ok"
    assert free_turns(turns) == 2


def test_follow_ups_are_never_remembered(turns: Turns, clock: HandClock) -> None:
    memory = AnswerMemory(clock, keep_s=100)
    asker = Genie(turns, memory)

    Talk(clock).work(asker.follow_up(IDS, "and now?", patience_s=0), message("COMPLETED", text("ok")))

    assert len(memory) == 0


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([{}], "conversation_id: wanted an id, found null"),
        ([{"conversation_id": "c", "message_id": True}], "message_id: wanted an id, found a boolean"),
        ([{"conversation_id": "c", "message_id": ""}], "message_id: wanted an id, found a text"),
        ([{"conversation_id": "c", "message_id": "m", "message": "done"}], "wanted an object, found a text"),
        ([started(), message("COMPLETED") | {"status": 7}], "status: wanted a text, found a number"),
        (
            [started(), message("COMPLETED") | {"attachments": {}}],
            "attachments: wanted a list, found an object",
        ),
        (
            [started(), message("COMPLETED", {"text": {"content": ["x"]}})],
            "content: wanted a text, found a list",
        ),
        ([started(), message("COMPLETED", query(attachment_id=""))], "a query without attachment_id"),
        ([started(), message("COMPLETED", {"query": {"query": "x"}})], "a query without attachment_id"),
        (
            [started(), message("COMPLETED", suggestions() | {"suggested_questions": {"questions": [1]}})],
            "list of texts",
        ),
        ([started(), message("COMPLETED", query()), {}], "statement_response: wanted an object, found null"),
        ([started(), message("COMPLETED", query()), {"statement_response": {}}], "status: wanted an object"),
    ],
)
def test_an_answer_that_is_not_as_promised_is_refused_by_name(
    asker: Genie, talk: Talk, answers: list[dict[str, object]], says: str
) -> None:
    with pytest.raises(AnswerMalformed, match=says):
        talk.work(ask(asker), *answers)


def test_ten_megabytes_of_words_are_refused_by_name(asker: Genie, talk: Talk) -> None:
    with pytest.raises(AnswerTooLarge, match="10000000 characters"):
        talk.work(ask(asker), started(), message("COMPLETED", text("x" * 10_000_000)))
    with pytest.raises(AnswerTooLarge):
        Talk().work(ask(asker), started(), message("COMPLETED", query("x" * 1_000_001)))


def test_what_would_trick_a_screen_or_a_database_is_replaced(asker: Genie, talk: Talk) -> None:
    """NUL cannot be stored, half a surrogate cannot be sent, an escape would drive a terminal, a bidi sign lies."""
    answer = talk.work(
        ask(asker),
        started()
        | {
            "message": message(
                "COMPLETED", text("a\x00b\x1b[31mc\ud800d\u202ee\n\tf"), query("select '\u2066x\x07'")
            )
        },
        rows([("s\x00", "STRING")], [["\x1b]0;x"]]),
    )

    assert answer.text == "a\ufffdb\ufffd[31mc\ufffdd\ufffde\n\tf"
    assert answer.sql == "select '\ufffdx\ufffd'"
    assert answer.columns[0].name == "s\ufffd"
    assert answer.rows == (("\ufffd]0;x",),)


def test_words_of_genie_in_an_error_stay_on_one_short_line(asker: Genie, talk: Talk) -> None:
    with pytest.raises(ModelFailed) as caught:
        talk.work(
            ask(asker), started(), failed("RETRYABLE_PROCESSING_EXCEPTION", "\x1b[2Jboom\n" + "x" * 5_000)
        )

    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("bad", ["", "  ", "..", "."])
def test_an_id_that_is_none_is_a_fault_of_the_configuration(asker: Genie, bad: str) -> None:
    with pytest.raises(ConfigError, match="no id of a space"):
        Talk().work(asker.ask(bad, "why?", patience_s=0))


def test_an_id_cannot_lead_to_another_path(asker: Genie) -> None:
    steps = asker.ask("a/../b?x=1#y", "why?", patience_s=0)

    assert until_call(steps).path == "/api/2.0/genie/spaces/a%2F..%2Fb%3Fx%3D1%23y/start-conversation"


@pytest.mark.parametrize("question", ["", " \n\t "])
def test_an_empty_question_is_not_asked(asker: Genie, turns: Turns, question: str) -> None:
    with pytest.raises(QuestionRefused, match="empty question"):
        Talk().work(asker.ask(SPACE, question, patience_s=0))
    assert free_turns(turns) == 5


def test_feedback_is_sent_and_may_be_repeated(talk: Talk) -> None:
    talk.work(genie.feedback(IDS, Rating.NEGATIVE, " wrong pump "), {})
    talk.work(genie.feedback(IDS, Rating.POSITIVE), {})

    assert talk.paths == [f"POST {OF_MESSAGE}/feedback"] * 2
    assert [call.body for call in talk.calls] == [
        {"rating": "NEGATIVE", "comment": "wrong pump"},
        {"rating": "POSITIVE"},
    ]
    assert all(call.may_repeat for call in talk.calls)


def test_spaces_are_listed_over_all_pages(talk: Talk) -> None:
    found = talk.work(
        genie.spaces(),
        {"spaces": [{"space_id": "s1", "title": "Plant", "warehouse_id": "w"}], "next_page_token": "t1"},
        {"next_page_token": "t2"},
        {"spaces": [{"space_id": 7, "title": "Lab", "description": "d"}], "next_page_token": ""},
    )

    assert [(one.space_id, one.title, one.description, one.warehouse_id) for one in found] == [
        ("s1", "Plant", "", "w"),
        ("7", "Lab", "d", ""),
    ]
    assert [call.query.get("page_token") for call in talk.calls] == [None, "t1", "t2"]


def test_a_list_without_an_end_is_refused(talk: Talk) -> None:
    with pytest.raises(AnswerMalformed, match="again and again"):
        talk.work(genie.spaces(), {"next_page_token": "t"}, {"next_page_token": "t"})


def test_one_space_is_looked_at(talk: Talk) -> None:
    found = talk.work(genie.space("s1"), {"space_id": "s1", "title": "Plant"})

    assert (found.title, talk.paths) == ("Plant", ["GET /api/2.0/genie/spaces/s1"])
