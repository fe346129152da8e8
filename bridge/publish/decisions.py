"""Approve, reject and defer on behalf of somebody who has logged in: checked words in, named outcome out.

Nothing here knows OPC UA. The decision itself is the database's, over the same named queries that the
command line and the HMI use, with the operator's login and in the name of the user who is logged in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from bridge.domain.limits import RefusalCode
from bridge.errors import (
    AskAPerson,
    BridgeError,
    FixConfiguration,
    IllegalTransition,
    RefusedByRule,
    TryAgain,
)
from bridge.settings import PublishUserSettings

log = structlog.get_logger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_ID = 100
_LONGEST_NAME = 100
_LONGEST_TEXT = 2000
_LONGEST_DEFERRAL_MIN = 24 * 60


AGENT_NAMED = "this is the agent's own name, and only a person may decide; name the user after a person"


class Ask(StrEnum):
    """What can be asked for; the names are those of the methods."""

    APPROVE = "Approve"
    REJECT = "Reject"
    DEFER = "Defer"


class Answer(StrEnum):
    """What became of a decision, in the words that clients see as `Result`."""

    DONE = "done"
    NOT_PERMITTED = "not_permitted"  # anonymous, a viewer, an agent's name, or the database says so
    NOT_FOUND = "not_found"  # there is no such recommendation
    NOT_OPEN = "not_open"  # decided, expired or withdrawn meanwhile
    STALE_DIGEST = "stale_digest"  # the writes are not the ones that were shown
    REASON_MISSING = "reason_missing"
    WRONG_ARGUMENT = "wrong_argument"
    REFUSED = "refused"  # a limit or another rule says no
    DATABASE_AWAY = "database_away"  # whether the decision was taken is not known; look at its status
    NOT_CONFIGURED = "not_configured"  # the operator's login does not work


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer, the recommendation's status afterwards (empty unless done), and a sentence for a person.

    argument: index of the argument that is to blame, -1 for none.
    """

    answer: Answer
    status: str = ""
    message: str = ""
    argument: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody at the published server. `name` is empty for anonymous, who may look and nothing else."""

    name: str = ""
    may_decide: bool = False
    session: str = ""

    @classmethod
    def of(cls, name: str, settings: PublishUserSettings, session: str) -> User:
        """A configured user who has shown the right password."""
        return cls(name=name, may_decide=settings.role == "operator", session=session)


class Desk(Protocol):
    """What decides; `bridge.store.desk.Desk` is one."""

    async def approve(
        self, recommendation_id: str, *, operator: str, digest: str, comment: str | None
    ) -> str: ...

    async def reject(
        self, recommendation_id: str, *, operator: str, reason: str, digest: str | None = None
    ) -> str: ...

    async def defer(
        self,
        recommendation_id: str,
        *,
        operator: str,
        minutes: float,
        comment: str | None,
        digest: str | None = None,
    ) -> str: ...

    async def open_session(self, session: str, *, operator: str) -> None: ...

    async def close_session(self, session: str) -> None: ...

    async def close_left_behind(self, prefix: str) -> int: ...

    async def count_decision(self, session: str, *, operator: str, decision: str) -> None: ...


_ANSWERS = {
    RefusalCode.NOT_PERMITTED: Answer.NOT_PERMITTED,
    RefusalCode.ALREADY_DECIDED: Answer.NOT_OPEN,
    RefusalCode.EXPIRED: Answer.NOT_OPEN,
    RefusalCode.ILLEGAL_TRANSITION: Answer.NOT_OPEN,
    RefusalCode.DIGEST_MISMATCH: Answer.STALE_DIGEST,
    RefusalCode.REASON_REQUIRED: Answer.REASON_MISSING,
    RefusalCode.TIME_REQUIRED: Answer.WRONG_ARGUMENT,
    RefusalCode.WRONG_FORM: Answer.NOT_FOUND,
}
_BLAMED = {Answer.NOT_FOUND: 0, Answer.STALE_DIGEST: 1, Answer.REASON_MISSING: 2}


async def decide(desk: Desk | None, user: User, ask: Ask, arguments: Sequence[object]) -> Outcome:
    """Carry out one decision and log it; never raises for anything that a client or the database can cause.

    `arguments`: id, digest, and comment, reason or minutes, as they came.
    """
    if user.may_decide and not (user.name.strip() and len(user.name) <= _LONGEST_NAME):
        return Outcome(
            answer=Answer.NOT_PERMITTED,
            message=f"nobody decides without a name of 1 to {_LONGEST_NAME} characters",
        )
    if desk is None or not user.may_decide:
        return Outcome(
            answer=Answer.NOT_PERMITTED,
            message="log in as a user with the role operator; "
            + (f"{user.name} may only look" if user.name else "anonymous may only look"),
        )
    wrong = _wrong(ask, arguments)
    if wrong is not None:
        return wrong
    recommendation_id, digest, third = arguments
    assert isinstance(recommendation_id, str)
    assert isinstance(digest, str)
    try:
        if ask is Ask.APPROVE:
            status = await desk.approve(
                recommendation_id, operator=user.name, digest=digest, comment=str(third).strip() or None
            )
        elif ask is Ask.REJECT:
            status = await desk.reject(
                recommendation_id, operator=user.name, reason=str(third), digest=digest
            )
        else:
            assert isinstance(third, float)
            status = await desk.defer(
                recommendation_id, operator=user.name, minutes=third, comment=None, digest=digest
            )
    except BridgeError as problem:
        outcome = _refusal(problem)
        log.info(
            "publish.decision_refused",
            ask=ask.value,
            recommendation_id=recommendation_id,
            operator=user.name,
            answer=outcome.answer.value,
            reason=outcome.message,
        )
        return outcome
    log.info(
        "publish.decided",
        ask=ask.value,
        recommendation_id=recommendation_id,
        operator=user.name,
        status=status,
    )
    await _count(desk, user, ask)
    more = "; another person has to approve, too" if ask is Ask.APPROVE and status == "pending" else ""
    return Outcome(answer=Answer.DONE, status=status, message=f"{recommendation_id} is {status}{more}")


async def _count(desk: Desk, user: User, ask: Ask) -> None:
    """The decision stands whether it is counted or not."""
    word = {Ask.APPROVE: "approved", Ask.REJECT: "rejected"}.get(ask)
    if word is None:
        return
    try:
        await desk.count_decision(user.session, operator=user.name, decision=word)
    except BridgeError as problem:
        log.warning("publish.decision_not_counted", operator=user.name, reason=str(problem))


def _wrong(ask: Ask, arguments: Sequence[object]) -> Outcome | None:
    recommendation_id, digest, third = arguments

    def blame(argument: int, message: str, answer: Answer = Answer.WRONG_ARGUMENT) -> Outcome:
        return Outcome(answer=answer, argument=argument, message=message)

    texts = [0, 1] if ask is Ask.DEFER else [0, 1, 2]
    for index in texts:
        text = arguments[index]
        if not isinstance(text, str):
            return blame(index, f"argument {index + 1}: wanted a text, found {type(text).__name__}")
        if "\0" in text or len(text) > (_LONGEST_ID if index == 0 else _LONGEST_TEXT):
            return blame(index, f"argument {index + 1}: too long, or with a NUL in it")
    if not str(recommendation_id).strip():
        return blame(0, "Id is empty; give the recommendation's id, such as R-12")
    if not _DIGEST.fullmatch(str(digest)):
        return blame(
            1, "Digest: wanted the 64 hexadecimal digits of the recommendation's Digest, as it was shown"
        )
    if ask is Ask.REJECT and not str(third).strip():
        return blame(2, "a rejection says why; give a Reason", Answer.REASON_MISSING)
    if ask is Ask.DEFER and not (
        isinstance(third, float) and math.isfinite(third) and 0 < third <= _LONGEST_DEFERRAL_MIN
    ):
        return blame(2, f"Minutes: wanted more than 0, and at most {_LONGEST_DEFERRAL_MIN}; found {third!r}")
    return None


def _refusal(problem: BridgeError) -> Outcome:
    text = str(problem)
    if isinstance(problem, RefusedByRule):
        answer = _ANSWERS.get(problem.refusal.code, Answer.REFUSED)
        return Outcome(answer=answer, message=problem.refusal.reason, argument=_BLAMED.get(answer, -1))
    if isinstance(problem, IllegalTransition):
        return Outcome(answer=Answer.NOT_OPEN, message=text)
    if isinstance(problem, AskAPerson):
        return Outcome(answer=Answer.REFUSED, message=text)
    if isinstance(problem, TryAgain):
        return Outcome(
            answer=Answer.DATABASE_AWAY,
            message=f"the database did not answer ({text}); whether this was decided is not known, look at its Status",
        )
    if isinstance(problem, FixConfiguration):
        return Outcome(answer=Answer.NOT_CONFIGURED, message=text)
    return Outcome(answer=Answer.REFUSED, message=text)
