"""Do Genie and the model servers answer over real requests, and does every fault of the wire come out by name?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import psycopg
import pytest

from bridge.clock import SystemClock
from bridge.databricks import genie, serving
from bridge.databricks.answer_form import AnswerForm
from bridge.databricks.auth import PersonalToken
from bridge.databricks.chat import (
    ChatAnswer,
    ChatMessage,
    ChatModel,
    ChatRequest,
    Finish,
    complete,
    formed,
    streamed,
)
from bridge.databricks.genie import Genie, Rating
from bridge.databricks.genie_answer import GenieAnswer, Provenance
from bridge.databricks.genie_limits import Turns
from bridge.databricks.http import Timeouts, Workspace
from bridge.databricks.responses_agent import AgentChat
from bridge.databricks.serving import ServingChat
from bridge.databricks.steps import Progress, Steps, finish, run_async
from bridge.errors import (
    AccessDenied,
    AnswerCut,
    AnswerLost,
    AnswerTooLarge,
    AnswerUnusable,
    BridgeError,
    DeadlineExceeded,
    ModelFailed,
    NotAWorkspace,
    QuestionCancelled,
    QuestionRefused,
    RateLimited,
    ServiceMisconfigured,
    WorkspaceDown,
    WorkspaceRefused,
)
from simulator.workspace.process import WorkspaceProcess

T = TypeVar("T")
SPACE = "01ef00000000000000000000000000b1"
CLOCK = SystemClock()
FORM = AnswerForm(
    name="advice",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["cause", "confidence"],
        "properties": {"cause": {"type": "string"}, "confidence": {"type": "number", "maximum": 1}},
    },
)
SCRIPT: dict[str, Any] = {
    "genie": [
        {
            "space_id": SPACE,
            "title": "Plant",
            "answers": [
                {
                    "question": "how hot",
                    "text": "The reactor is hot.",
                    "suggested": ["And the pressure?"],
                    "queries": [
                        {
                            "title": "Temperatures",
                            "sql": "select 7 as n, 1.5::numeric(4, 2) as price, true as hot, null::text as note, "
                            "timestamptz '2026-11-21 08:00Z' as at",
                        }
                    ],
                },
                {"question": "many rows", "queries": [{"sql": "select id from range_of_rows"}]},
                {"question": "nonsense", "queries": [{"sql": "select nothing from nowhere"}]},
                {"question": "in words", "text": "Just words.", "statuses": ["ASKING_AI"]},
                {
                    "question": "slowly",
                    "text": "at last",
                    "statuses": [],
                    "step_polls": 0,
                    "step_s": 1_000,
                },
            ],
        }
    ],
    "serving": [
        {
            "name": "plant-advisor",
            "task": "llm/v1/chat",
            "answers": [
                {"prompt": "root cause", "json": {"cause": "Kühlung – schwach", "confidence": 0.5}},
                {"prompt": "at length", "text": "word " * 50},
                {"prompt": "filtered", "text": "no", "finish_reason": "content_filter"},
            ],
        },
        {
            "name": "plant-agent",
            "task": "agent/v1/responses",
            "answers": [{"prompt": "root cause", "json": {"cause": "water", "confidence": 1}}],
        },
        {"name": "sleeper", "task": "llm/v1/chat", "ready": "NOT_READY", "config_update": "UPDATE_FAILED"},
    ],
}


@pytest.fixture(scope="module")
def running(fresh_database: Callable[..., str]) -> Iterator[WorkspaceProcess]:
    """A workspace with a database behind its one space."""
    url = fresh_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create view range_of_rows as select generate_series(1, 6000) as id")
    with WorkspaceProcess.start("--database", url, "--no-warehouse", "--genie-per-minute", "1000") as started:
        started.script(SCRIPT)
        yield started


@pytest.fixture
def site(running: WorkspaceProcess) -> WorkspaceProcess:
    """The same, as after its start."""
    running.reset()
    return running


def client(site: WorkspaceProcess, token: str = "") -> Workspace:
    return Workspace(
        site.host,
        PersonalToken(token or site.token, "test"),
        CLOCK,
        timeouts=Timeouts(connect_s=5, silence_s=10),
        spread=lambda low, high: low,
    )


@pytest.fixture
def workspace(site: WorkspaceProcess) -> Iterator[Workspace]:
    found = client(site)
    yield found
    found.close()


@pytest.fixture
def asker() -> Genie:
    return Genie(Turns(CLOCK, per_minute=1_000), first_poll_s=0.02, longest_poll_s=0.1)


def asked(site: WorkspaceProcess, verb: str, end: str) -> int:
    """How often something was asked for, answered or not."""
    return sum(entry["verb"] == verb and entry["path"].endswith(end) for entry in site.requests())


def worked(steps: Steps[T], workspace: Workspace, deadline_s: float = 20) -> T:
    return finish(steps, workspace, CLOCK, deadline_s=deadline_s)


def ask(asker: Genie, question: str = "how hot is it?") -> Steps[GenieAnswer]:
    return asker.ask(SPACE, question, patience_s=0)


def test_a_question_is_answered_with_rows_in_their_types(asker: Genie, workspace: Workspace) -> None:
    told: list[Progress] = []

    answer = asyncio.run(run_async(ask(asker), workspace, CLOCK, deadline_s=20, on_progress=told.append))

    assert answer.text == "The reactor is hot."
    assert [column.name for column in answer.columns] == ["n", "price", "hot", "note", "at"]
    ((number, price, hot, note, moment),) = answer.rows
    assert (number, Decimal(str(price)), hot, note) == (7, Decimal("1.5"), True, None)
    assert moment == datetime(2026, 11, 21, 8, tzinfo=UTC)
    assert answer.suggested_questions == ("And the pressure?",)
    assert answer.provenance.statement_id
    assert [step.status for step in told] == [
        "SUBMITTED",
        "FETCHING_METADATA",
        "FILTERING_CONTEXT",
        "ASKING_AI",
        "PENDING_WAREHOUSE",
        "EXECUTING_QUERY",
        "COMPLETED",
    ]


def test_more_rows_than_genie_gives_are_told(asker: Genie, workspace: Workspace) -> None:
    answer = worked(ask(asker, "many rows"), workspace)

    assert answer.truncated
    assert answer.rows[:2] == ((1,), (2,))
    assert len(answer.rows) <= 5_000


def test_a_conversation_goes_on_is_rated_and_its_space_is_found(asker: Genie, workspace: Workspace) -> None:
    first = worked(ask(asker), workspace)
    second = worked(asker.follow_up(first.provenance, "and in words?", patience_s=0), workspace)
    again = worked(asker.pick_up(first.provenance), workspace)
    worked(genie.feedback(second.provenance, Rating.POSITIVE, "good"), workspace)

    assert second.text == "Just words."
    assert second.provenance.conversation_id == first.provenance.conversation_id
    assert again.rows == first.rows
    assert [one.title for one in worked(genie.spaces(), workspace)] == ["Plant"]
    assert worked(genie.space(SPACE), workspace).space_id == SPACE


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("genie_failed =RATE_LIMIT_EXCEEDED_GENERIC_EXCEPTION", RateLimited, "in a minute"),
        ("genie_failed =RETRYABLE_PROCESSING_EXCEPTION", ModelFailed, "may be asked again"),
        ("genie_failed =TABLES_MISSING_EXCEPTION", ServiceMisconfigured, "mend it"),
        ("genie_failed =CONTEXT_EXCEEDED_EXCEPTION", QuestionRefused, "other words"),
        ("genie_forbidden", AccessDenied, "CAN USE on the space's warehouse"),
        ("genie_cancelled", QuestionCancelled, "cancelled in the workspace"),
    ],
)
def test_each_way_in_which_genie_fails(
    site: WorkspaceProcess,
    asker: Genie,
    workspace: Workspace,
    fault: str,
    error: type[BridgeError],
    says: str,
) -> None:
    site.fault(fault)

    with pytest.raises(error, match=says):
        worked(ask(asker), workspace)


def test_a_query_that_fails(asker: Genie, workspace: Workspace) -> None:
    with pytest.raises(QuestionRefused, match="nowhere"):
        worked(ask(asker, "nonsense"), workspace)


def test_rows_that_expired_are_queried_again(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    site.fault("genie_expired")

    answer = worked(ask(asker), workspace)

    assert answer.ran_again
    assert answer.rows[0][0] == 7
    assert asked(site, "POST", "/execute-query") == 1


def test_genie_that_corrects_itself_is_heard_at_its_last_word(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    site.fault("genie_self_correction")

    answer = worked(ask(asker), workspace)

    assert answer.rows[0][0] == 7
    assert "failed" not in answer.text


def test_a_question_without_an_end_lasts_until_the_deadline(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    site.fault("genie_stuck")

    with pytest.raises(DeadlineExceeded, match=r"conversation [0-9a-f]{32}, message [0-9a-f]{32}.*picked up"):
        worked(ask(asker), workspace, 1)


def test_a_status_that_nobody_knows_is_passed_through(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    site.fault("genie_unknown_status")
    told: list[Progress] = []

    answer = asyncio.run(run_async(ask(asker), workspace, CLOCK, deadline_s=20, on_progress=told.append))

    assert answer.rows[0][0] == 7
    assert Progress("CONSULTING_ORACLE", "a status that is not known here") in told


def test_text_that_would_give_orders_stays_text(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    """Markup, SQL, instructions: kept as words, without what would move a terminal or turn the writing round."""
    site.fault("genie_injection")

    answer = worked(ask(asker), workspace)

    assert "<script>" in answer.text
    assert not {"\x1b", "\u202e"} & set(answer.text)


def test_a_question_whose_answer_is_lost_was_asked_once(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    """The workspace took it and the connection broke: nobody asks a second time."""
    site.fault("lost_response POST:/api/2.0/genie/* x1")

    with pytest.raises(AnswerLost, match="may have happened"):
        worked(ask(asker), workspace)
    assert asked(site, "POST", "/start-conversation") == 1


def test_looks_and_fetches_are_repeated(site: WorkspaceProcess, asker: Genie, workspace: Workspace) -> None:
    for fault in ("lost_response", "unavailable", "cut_answer", "not_json", "rate_limited"):
        site.fault(f"{fault} GET:/api/2.0/genie/* x1")

    assert worked(ask(asker), workspace).rows[0][0] == 7
    assert asked(site, "POST", "/start-conversation") == 1


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("unavailable", AnswerLost, "may have happened"),
        ("server_error", AnswerLost, "may have happened"),
        ("html", NotAWorkspace, "web page"),
        ("login_redirect", NotAWorkspace, "login"),
        ("forbidden", WorkspaceRefused, "lacks a permission"),
        ("huge", AnswerTooLarge, "more than 8 MiB"),
        ("not_json", AnswerLost, "JSON that cannot be read"),
        ("plain_error", WorkspaceRefused, "refused"),
    ],
)
def test_what_a_question_meets_on_the_wire(
    site: WorkspaceProcess,
    asker: Genie,
    workspace: Workspace,
    fault: str,
    error: type[BridgeError],
    says: str,
) -> None:
    site.fault(f"{fault} POST:/api/2.0/genie/* x1")

    with pytest.raises(error, match=says):
        worked(ask(asker), workspace)
    assert asked(site, "POST", "/start-conversation") == 1


def test_numbers_as_texts_make_no_difference(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    site.fault("numbers_as_strings GET:/api/2.0/genie/* always")

    assert worked(ask(asker), workspace).rows[0][0] == 7


def test_too_many_questions_are_told_as_such(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    """Refused questions are not asked, so they may be repeated while there is time; then it is said."""
    site.fault("rate_limited POST:/api/2.0/genie/* always 1s")

    with pytest.raises(RateLimited, match="too many requests"):
        worked(ask(asker), workspace, 3)
    with pytest.raises(RateLimited, match="next turn"):
        worked(ask(asker), workspace)


def test_a_space_that_is_not_there_or_not_ours(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    with pytest.raises(WorkspaceRefused, match="does not exist") as caught:
        worked(asker.ask("01ef00000000000000000000000000ff", "how hot?", patience_s=0), workspace)
    assert caught.value.status == 404

    stranger = client(site, site.ready["stranger_token"])
    with pytest.raises(WorkspaceRefused, match="permission"):
        worked(ask(asker), stranger)
    stranger.close()


async def test_a_hundred_questions_wait_on_the_workspaces_few_threads(
    site: WorkspaceProcess, asker: Genie, workspace: Workspace
) -> None:
    """All of them are out at the same time; time then moves on over there, and all are answered."""
    before = threading.active_count()
    most = before
    out: set[int] = set()
    all_out = asyncio.Event()

    async def one(number: int) -> GenieAnswer:
        def told(_: Progress) -> None:
            nonlocal most
            most = max(most, threading.active_count())
            out.add(number)
            if len(out) == 100:
                all_out.set()

        steps = ask(asker, f"slowly, number {number}")
        return await run_async(steps, workspace, CLOCK, deadline_s=60, on_progress=told)

    tasks = [asyncio.create_task(one(number)) for number in range(100)]
    async with asyncio.timeout(60):
        await all_out.wait()
    await asyncio.to_thread(site.advance, 1_000)
    answers = await asyncio.gather(*tasks)

    assert {answer.text for answer in answers} == {"at last"}
    assert len({answer.provenance.conversation_id for answer in answers}) == 100
    assert most <= before + 9  # eight of the workspace, and the one that moved the clock


# --- model servers ---


def prompt(text: str, **more: Any) -> ChatRequest:
    return ChatRequest(messages=(ChatMessage(role="user", content=text),), **{"max_tokens": 200, **more})


def heard(model: ChatModel, workspace: Workspace, request: ChatRequest) -> tuple[list[str], ChatAnswer]:
    stream = streamed(model, request, workspace, budget_s=20)
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


MODELS: list[ChatModel] = [ServingChat("plant-advisor"), AgentChat("plant-agent")]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_model_answers_whole_and_in_pieces(workspace: Workspace, model: ChatModel) -> None:
    """The same answer either way, and of the form that was asked for."""
    request = prompt("root cause of it", form=FORM, temperature=0)

    whole = worked(complete(model, request), workspace)
    pieces, streamed_answer = heard(model, workspace, request)

    assert len(pieces) > 1
    assert "".join(pieces) == streamed_answer.text == whole.text
    assert formed(whole, FORM) == formed(streamed_answer, FORM)
    assert formed(whole, FORM)["cause"] in ("Kühlung – schwach", "water")


def test_an_answer_cut_by_its_limit_says_so(workspace: Workspace) -> None:
    whole = worked(complete(MODELS[0], prompt("at length", max_tokens=5)), workspace)
    _, pieces = heard(MODELS[0], workspace, prompt("at length", max_tokens=5))

    assert whole.finish is pieces.finish is Finish.LENGTH
    with pytest.raises(AnswerUnusable, match="cut short by max_tokens"):
        formed(whole, FORM)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize(
    ("fault", "error"),
    [("stream_cut", AnswerCut), ("stream_short", AnswerCut), ("stream_error", ModelFailed)],
)
def test_a_stream_that_goes_wrong_is_no_answer(
    site: WorkspaceProcess, workspace: Workspace, model: ChatModel, fault: str, error: type[BridgeError]
) -> None:
    site.fault(fault)

    with pytest.raises(error):
        heard(model, workspace, prompt("root cause"))
    assert heard(model, workspace, prompt("root cause"))[1].text


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_prose_around_the_form_is_refused(
    site: WorkspaceProcess, workspace: Workspace, model: ChatModel
) -> None:
    site.fault("model_prose")

    with pytest.raises(AnswerUnusable, match="not JSON: it begins with 'Certainly!"):
        formed(worked(complete(model, prompt("root cause", form=FORM)), workspace), FORM)


def test_a_filtered_answer_is_a_fault_of_the_question(workspace: Workspace) -> None:
    with pytest.raises(QuestionRefused, match="content filter"):
        worked(complete(MODELS[0], prompt("filtered")), workspace)
    with pytest.raises(QuestionRefused, match="content filter"):
        heard(MODELS[0], workspace, prompt("filtered"))


def test_tokens_asked_for_count_before_they_are_used(workspace: Workspace) -> None:
    with pytest.raises(RateLimited, match="max_tokens 100000 counts in full"):
        worked(complete(MODELS[0], prompt("root cause", max_tokens=100_000)), workspace, 2)


def test_an_endpoint_that_is_not_there_or_not_ready(site: WorkspaceProcess, workspace: Workspace) -> None:
    with pytest.raises(ServiceMisconfigured, match="no nobody to ask, or it is not ready"):
        worked(complete(ServingChat("nobody"), prompt("root cause")), workspace)
    with pytest.raises(ServiceMisconfigured, match="no sleeper to ask, or it is not ready"):
        worked(complete(ServingChat("sleeper"), prompt("root cause")), workspace)
    with pytest.raises(ServiceMisconfigured, match="UPDATE_FAILED"):
        worked(serving.ready("sleeper"), workspace)
    assert worked(serving.ready("plant-agent"), workspace).task == "agent/v1/responses"

    site.fault("model_not_ready")
    with pytest.raises(WorkspaceDown, match="not ready yet"):
        worked(complete(MODELS[0], prompt("root cause")), workspace, 2)
    assert not worked(serving.endpoint("plant-advisor"), workspace).ready


def test_a_lost_answer_of_an_agent_is_told_and_that_of_a_model_repeated(
    site: WorkspaceProcess, workspace: Workspace
) -> None:
    """An agent may have done something; a model has only spoken."""
    site.fault("lost_response POST:/serving-endpoints/* x1")
    assert worked(complete(MODELS[0], prompt("root cause")), workspace).text
    assert asked(site, "POST", "/plant-advisor/invocations") == 2

    site.fault("lost_response POST:/serving-endpoints/* x1")
    with pytest.raises(AnswerLost, match="may have happened"):
        worked(complete(MODELS[1], prompt("root cause")), workspace)
    assert asked(site, "POST", "/plant-agent/invocations") == 1


def test_a_model_that_sends_too_much_is_refused_by_name(site: WorkspaceProcess, workspace: Workspace) -> None:
    site.fault("huge POST:/serving-endpoints/* x1")

    with pytest.raises(AnswerTooLarge, match="more than 8 MiB"):
        worked(complete(MODELS[0], prompt("root cause")), workspace)


def test_provenance_leads_back_to_the_message(asker: Genie, workspace: Workspace) -> None:
    """Whoever has the ids of an answer finds it in the workspace."""
    answer = worked(ask(asker, "in words"), workspace)
    ids = Provenance(
        space_id=answer.provenance.space_id,
        conversation_id=answer.provenance.conversation_id,
        message_id=answer.provenance.message_id,
    )

    assert worked(asker.pick_up(ids), workspace).text == "Just words."
