"""Questions to Genie spaces as conversations without I/O: ask, wait, fetch the rows of the last query.

Starting a question is not idempotent, and a question is a costly thing: when its answer is lost that is told
(AnswerLost) and nothing is asked twice. Everything else may be repeated, and is, until the caller's deadline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from urllib.parse import quote

from bridge.databricks import genie_faults, statement_result
from bridge.databricks.call import Answer, Call
from bridge.databricks.fields import Fields
from bridge.databricks.genie_answer import (
    GenieAnswer,
    Message,
    MessageStatus,
    Provenance,
    answer,
    read_message,
)
from bridge.databricks.genie_limits import AnswerMemory, Turns
from bridge.databricks.statement_result import Statement, StatementState, Table
from bridge.databricks.steps import Progress, Steps, Wait
from bridge.errors import (
    AccessDenied,
    AnswerMalformed,
    ConfigError,
    DeadlineExceeded,
    ModelFailed,
    NotAWorkspace,
    QuestionCancelled,
    QuestionRefused,
    RateLimited,
    WorkspaceDown,
    WorkspaceRefused,
)

_SPACES = "/api/2.0/genie/spaces"
_UNTIL_THE_DEADLINE = math.inf
_MOST_PAGES = 100
_MOST_BYTES = 8 * 2**20
_LEAST_HOLD_S = (
    10.0  # after "too many questions" without a time, or with a hopeful one: the minute is over later
)
_LONGEST_HOLD_S = 900.0  # a server that wants a day of rest is asked again in between
_WORDS = {
    MessageStatus.SUBMITTED: "the question has arrived",
    MessageStatus.FETCHING_METADATA: "Genie looks at the tables",
    MessageStatus.FILTERING_CONTEXT: "Genie picks what matters to the question",
    MessageStatus.ASKING_AI: "the model works on it",
    MessageStatus.PENDING_WAREHOUSE: "the SQL warehouse is starting",
    MessageStatus.EXECUTING_QUERY: "the query runs",
    MessageStatus.COMPLETED: "answered",
    MessageStatus.FAILED: "failed",
    MessageStatus.CANCELLED: "cancelled",
    MessageStatus.QUERY_RESULT_EXPIRED: "answered; its rows have expired, so its query runs again",
    MessageStatus.OTHER: "a status that is not known here",
}


class Rating(StrEnum):
    """What a person thinks of an answer; NONE takes an earlier rating back."""

    POSITIVE = "POSITIVE"
    NEGATIVE = "NEGATIVE"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A Genie space as the workspace describes it. warehouse_id: empty when it does not say."""

    space_id: str
    title: str
    description: str
    warehouse_id: str


class Genie:
    """Asks Genie spaces of one workspace within its few questions a minute.

    turns: shared by everything that asks this workspace. memory: where answers are looked up before asking; None
    for none. first_poll_s, longest_poll_s: pauses between two looks, growing by half each time. most_rows: rows of
    a result that are kept; more are told as truncated.
    """

    def __init__(
        self,
        turns: Turns,
        memory: AnswerMemory | None = None,
        *,
        first_poll_s: float = 1.0,
        longest_poll_s: float = 5.0,
        most_rows: int = statement_result.MOST_ROWS,
    ) -> None:
        self._turns = turns
        self._memory = memory
        self._first_poll_s = first_poll_s
        self._longest_poll_s = longest_poll_s
        self._most_rows = most_rows

    def ask(
        self, space_id: str, question: str, *, patience_s: float, fresh: bool = False
    ) -> Steps[GenieAnswer]:
        """Ask a question in a new conversation.

        patience_s: longest wait for a turn; RateLimited at once when it would take longer. fresh: do not take an
        answer from memory. The errors say what to do: RateLimited, ModelFailed, WorkspaceDown: ask later. AnswerLost:
        it may have been asked. QuestionRefused: ask something else. QuestionCancelled. ServiceMisconfigured,
        AccessDenied, WorkspaceRefused: somebody has to mend the space or its grants. DeadlineExceeded: it goes on in
        the workspace, under the ids in the message. AnswerMalformed, AnswerTooLarge.
        """
        asked = _worded(question)
        if self._memory is not None and not fresh:
            known = self._memory.find(space_id, asked)
            if known is not None:
                yield Progress("REMEMBERED", f"the same question was answered {known.age_s:.0f} s ago")
                return known
        call = Call(
            verb="POST",
            path=f"{_space(space_id)}/start-conversation",
            body={"content": asked},
            most_bytes=_MOST_BYTES,
            what=f"Genie: ask in space {space_id}",
        )
        began = Fields((yield from self._begin(call, patience_s)), call.what)
        ids = Provenance(
            space_id=space_id,
            conversation_id=began.identity("conversation_id"),
            message_id=began.identity("message_id"),
        )
        first = began.part("message")
        message = None if first is None else read_message(first, ids)
        found = yield from self._answered(asked, ids, message)
        if self._memory is not None:
            self._memory.keep(space_id, asked, found)
        return found

    def follow_up(self, after: Provenance, question: str, *, patience_s: float) -> Steps[GenieAnswer]:
        """Ask on in the conversation of an earlier answer; errors as with `ask`. Never taken from memory."""
        asked = _worded(question)
        call = Call(
            verb="POST",
            path=f"{_conversation(after)}/messages",
            body={"content": asked},
            most_bytes=_MOST_BYTES,
            what=f"Genie: ask on in conversation {after.conversation_id} of space {after.space_id}",
        )
        began = Fields((yield from self._begin(call, patience_s)), call.what)
        ids = Provenance(
            space_id=after.space_id,
            conversation_id=after.conversation_id,
            message_id=began.identity("message_id", began.identity("id", "")),
        )
        if not ids.message_id:
            raise began.refused("message_id", "an id")
        return (yield from self._answered(asked, ids, read_message(began, ids)))

    def pick_up(self, ids: Provenance, question: str = "") -> Steps[GenieAnswer]:
        """Wait for, or fetch again, a question that was asked earlier: after a deadline, or when its rows expired.

        Costs no turn. question: for the answer's own record; empty when it is not known.
        """
        return (yield from self._answered(question, ids, None))

    def _begin(self, call: Call, patience_s: float) -> Steps[Answer]:
        """Take a turn, wait for it, and ask once. A turn that surely was not used is given back."""
        turn = self._turns.take(patience_s=patience_s, what=call.what)
        used = False
        try:
            if turn.wait_s > 0:
                yield Progress("WAITING_FOR_TURN", f"the next question may be asked in {turn.wait_s:.0f} s")
                yield Wait(turn.wait_s)
            used = True  # whoever is cancelled from here on may have asked
            return (yield call)
        except RateLimited as refused:
            used = False
            self._turns.hold(min(max(refused.retry_after_s or 0.0, _LEAST_HOLD_S), _LONGEST_HOLD_S))
            raise
        except (WorkspaceDown, DeadlineExceeded, AccessDenied, WorkspaceRefused, NotAWorkspace):
            used = False  # for a POST all these mean that it was not done
            raise
        finally:
            if not used:
                self._turns.give_back(turn)

    def _answered(self, question: str, ids: Provenance, message: Message | None) -> Steps[GenieAnswer]:
        """Wait for the end of a question and fetch the rows of its last query."""
        message = yield from self._finished(ids, message)
        match message.status:
            case MessageStatus.FAILED:
                raise genie_faults.failure(message)
            case MessageStatus.CANCELLED:
                raise QuestionCancelled(
                    f"Genie: the question was cancelled in the workspace ({message.provenance}); "
                    "ask again if it is still wanted"
                )
        if message.query is None:
            return answer(question, message, Table())
        expired = message.status is MessageStatus.QUERY_RESULT_EXPIRED
        statement, ran_again = yield from self._result(
            message, message.query.attachment_id, run_again=expired
        )
        return answer(
            question,
            message,
            statement.table or Table(),
            statement_id=statement.statement_id,
            ran_again=ran_again,
        )

    def _finished(self, ids: Provenance, message: Message | None) -> Steps[Message]:
        """Look until a final status. A status that we do not know is not one."""
        call = Call(
            verb="GET",
            path=_message(ids),
            budget_s=_UNTIL_THE_DEADLINE,
            most_bytes=_MOST_BYTES,
            what=f"Genie: look at the question ({ids})",
        )
        pause_s, told = self._first_poll_s, None
        while True:
            if message is not None:
                if message.said != told:
                    told = message.said
                    yield Progress(told or "NO_STATUS", _WORDS[message.status])
                if message.status.final:
                    return message
                yield Wait(pause_s)
                pause_s = min(pause_s * 1.5, self._longest_poll_s)
            message = read_message(
                Fields((yield from self._looked(call, told or "no status")), call.what), ids
            )

    def _looked(self, call: Call, so_far: str) -> Steps[Answer]:
        """A look that outlasts an absence of the workspace, up to the deadline."""
        told = False
        while True:
            try:
                return (yield call)
            except DeadlineExceeded as late:
                raise DeadlineExceeded(
                    f"{late}; last seen: {so_far}. It goes on in the workspace and can be picked up there"
                ) from late
            except WorkspaceDown as down:
                if not told:
                    yield Progress("UNREACHABLE", str(down))
                told = True
                yield Wait(max(down.retry_after_s or 0.0, self._longest_poll_s))

    def _result(
        self, message: Message, attachment_id: str, *, run_again: bool
    ) -> Steps[tuple[Statement, bool]]:
        """The rows of a query; where they have expired the query runs once more."""
        if not attachment_id:
            raise AnswerMalformed(f"Genie: a query without attachment_id ({message.provenance})")
        ids = message.provenance
        path = f"{_message(ids)}/attachments/{_part(attachment_id, 'attachment')}"
        fetch = Call(
            verb="GET",
            path=f"{path}/query-result",
            budget_s=_UNTIL_THE_DEADLINE,
            most_bytes=_MOST_BYTES,
            what=f"Genie: fetch the rows ({ids})",
        )
        execute = Call(
            verb="POST",
            path=f"{path}/execute-query",
            body={},
            idempotent=True,  # the same query twice reads twice
            budget_s=_UNTIL_THE_DEADLINE,
            most_bytes=_MOST_BYTES,
            what=f"Genie: run the query again ({ids})",
        )
        call, ran_again = (execute, True) if run_again else (fetch, False)
        pause_s, told = self._first_poll_s, ""
        while True:
            said = Fields((yield from self._looked(call, told or str(message.said))), call.what)
            statement = statement_result.read(said.needed("statement_response"), most_rows=self._most_rows)
            if statement.table is not None:
                return statement, ran_again
            match statement.state:
                case StatementState.FAILED:
                    raise genie_faults.query_failure(message, statement.error_code, statement.error)
                case StatementState.CANCELED:
                    raise QuestionCancelled(f"Genie: the query was cancelled in the workspace ({ids})")
                case StatementState.CLOSED if ran_again:
                    raise ModelFailed(
                        f"Genie: the rows are gone again right after the query ran ({ids}); ask later"
                    )
                case StatementState.CLOSED:
                    yield Progress(
                        MessageStatus.QUERY_RESULT_EXPIRED, _WORDS[MessageStatus.QUERY_RESULT_EXPIRED]
                    )
                    call, ran_again = execute, True
                    continue
            if statement.said != told:
                told = statement.said
                yield Progress(f"QUERY_{told}", _WORDS[MessageStatus.EXECUTING_QUERY])
            call = fetch
            yield Wait(pause_s)
            pause_s = min(pause_s * 1.5, self._longest_poll_s)


def feedback(ids: Provenance, rating: Rating, comment: str = "") -> Steps[None]:
    """Tell the space what a person thinks of an answer; the same twice is once."""
    body: dict[str, object] = {"rating": rating.value}
    if comment.strip():
        body["comment"] = comment.strip()
    yield Call(
        verb="POST",
        path=f"{_message(ids)}/feedback",
        body=body,
        idempotent=True,
        what=f"Genie: rate an answer ({ids})",
    )


def space(space_id: str) -> Steps[Space]:
    """One space. WorkspaceRefused where there is none, or none that we may see."""
    call = Call(verb="GET", path=_space(space_id), what=f"Genie: look at space {space_id}")
    return _read_space(Fields((yield call), call.what))


def spaces() -> Steps[tuple[Space, ...]]:
    """All spaces that this identity may see; empty when there are none."""
    found: list[Space] = []
    tokens: set[str] = set()
    query: dict[str, str | int] = {"page_size": 100}
    for _ in range(_MOST_PAGES):
        call = Call(verb="GET", path=_SPACES, query=dict(query), what="Genie: list the spaces")
        page = Fields((yield call), call.what)
        found += [_read_space(one) for one in page.parts("spaces")]
        token = page.text("next_page_token", "")
        if not token:
            return tuple(found)
        if token in tokens:
            raise AnswerMalformed(f"{call.what}: the same page comes again and again")
        tokens.add(token)
        query["page_token"] = token
    raise AnswerMalformed(f"Genie: list the spaces: more than {_MOST_PAGES} pages")


def _read_space(fields: Fields) -> Space:
    return Space(
        space_id=fields.identity("space_id"),
        title=fields.text("title", ""),
        description=fields.text("description", ""),
        warehouse_id=fields.identity("warehouse_id", ""),
    )


def _worded(question: str) -> str:
    asked = question.strip()
    if not asked:
        raise QuestionRefused("Genie: an empty question is not asked; say what you want to know")
    return asked


def _space(space_id: str) -> str:
    return f"{_SPACES}/{_part(space_id, 'space')}"


def _conversation(ids: Provenance) -> str:
    return f"{_space(ids.space_id)}/conversations/{_part(ids.conversation_id, 'conversation')}"


def _message(ids: Provenance) -> str:
    return f"{_conversation(ids)}/messages/{_part(ids.message_id, 'message')}"


def _part(one: str, of: Literal["space", "conversation", "message", "attachment"]) -> str:
    """An id as part of a path; one with a slash or a dot must not lead elsewhere."""
    if not one.strip() or one.strip(".") == "":
        raise ConfigError(
            [f"Genie: {one!r} is no id of a {of}; the address of the {of} in a browser shows it"]
        )
    return quote(one, safe="")
