"""Verify: read back what was written and say what became of it. A sent write is never sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from bridge.domain.command import Command, Unsettled, Verdict
from bridge.domain.lifecycle import CommandStatus
from bridge.domain.limits import RefusalCode
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Route, Tag, Value, as_written, equal_enough
from bridge.errors import DeadlineExceeded, LinkDown
from bridge.ports import Clock, LinkState, Store, TagLink, WriteOutcome, WriteResult

log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 0.05
_GATEWAY_LEASES = 4  # as many leases as the gateway has to settle its own, after a restart too


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A command whose write was handed to a link, and what the link could say about it."""

    command: Command
    tag: Tag
    value: Value
    outcome: WriteOutcome


def verdict_of(sent: Sent, found: Reading | None, *, last_look: bool) -> Verdict | None:
    """Judge one write by what the link said and what the tag shows; None means look again.

    `found` is the newest read-back, None when it could not be read. `last_look` is true when the settle
    time is over: then there is always a verdict, and an honest one may be `unknown`.
    """
    command, tag, outcome = sent.command, sent.tag, sent.outcome
    if outcome.result is WriteResult.NOT_SENT:
        return _verdict(
            command, CommandStatus.FAILED, RefusalCode.LINK_DOWN, f"{_said(outcome)}; nothing was written"
        )
    if outcome.result is WriteResult.REFUSED:
        return _verdict(
            command,
            CommandStatus.FAILED,
            RefusalCode.REFUSED_BY_SERVER,
            f"{_said(outcome)}; nothing was written",
        )
    shown = None if found is None or found.quality is not Quality.GOOD else found.value
    if shown is not None and _equal(shown, sent.value, tag):
        lost = (
            ""
            if outcome.result is WriteResult.ACCEPTED
            else f"; the server's answer was lost ({_said(outcome)})"
        )
        return _verdict(
            command,
            CommandStatus.EXECUTED,
            None,
            f"written and read back: {_show(shown, tag)}{lost}",
            read_back=float(shown),
        )
    if not last_look:
        return None
    number = None if shown is None or isinstance(shown, str) else float(shown)
    if outcome.result is WriteResult.ACCEPTED and shown is not None:
        return _verdict(
            command,
            CommandStatus.FAILED,
            RefusalCode.READ_BACK_DIFFERS,
            f"the server said {outcome.status}, but {tag.path} shows {_show(shown, tag)} "
            f"instead of {_show(sent.value, tag)}",
            read_back=number,
        )
    seen = (
        "the tag cannot be read" if found is None or shown is None else f"the tag shows {_show(shown, tag)}"
    )
    return _verdict(
        command,
        CommandStatus.UNKNOWN,
        RefusalCode.NOT_CONFIRMED,
        f"not known whether {tag.path} took {_show(sent.value, tag)}: {_said(outcome)}, and {seen}",
        read_back=number,
    )


async def read_back(
    sent: Sequence[Sent], links: Mapping[str, TagLink], clock: Clock, deadline_s: float
) -> AsyncIterator[list[Verdict]]:
    """Read written tags back until each has a verdict, at the latest when its settle time is over.

    Verdicts come as soon as they are known: what took effect at once does not wait for a slow neighbour.
    """
    started_s = clock.monotonic_s()
    waiting = list(sent)
    while waiting:
        elapsed_s = clock.monotonic_s() - started_s
        found = await _look([item.tag for item in waiting if _worth_reading(item)], links, deadline_s)
        verdicts: list[Verdict] = []
        still: list[Sent] = []
        for item in waiting:
            settle_s = item.tag.limits.settle_s if item.tag.limits is not None else 0.0
            verdict = verdict_of(item, found.get(item.tag.path), last_look=elapsed_s >= settle_s)
            if verdict is None:
                still.append(item)
            else:
                verdicts.append(verdict)
        waiting = still
        if verdicts:
            yield verdicts
        if waiting:
            await asyncio.sleep(_LOOK_AGAIN_S)


async def settle(
    store: Store,
    links: Mapping[str, TagLink],
    tags: Mapping[str, Tag],
    *,
    patience_s: float,
    deadline_s: float,
) -> int:
    """End commands that were sent and have no verdict, by what their tags show now; how many were ended.

    The new value means it was written. The old value, `patience_s` after sending, means it was not. Any
    other value, or none, leaves the outcome unknown: then it takes a person. What the gateway sent is the
    gateway's to settle; one that has been silent for several leases is only called unknown here.
    """
    unsettled = []
    ended = 0
    for command in await store.unsettled():
        if command.route is Route.GATEWAY:
            lost = (
                command.status is CommandStatus.EXECUTING
                and command.sent_s_ago >= _GATEWAY_LEASES * patience_s
            )
            if lost and await store.settle(command, _gateway_silent(command)):
                ended += 1
        elif command.sent_s_ago >= patience_s and not _connecting(tags.get(command.tag_path), links):
            unsettled.append(command)
    known = {
        command.command_id: tag for command in unsettled if (tag := tags.get(command.tag_path)) is not None
    }
    found = await _look(list(known.values()), links, deadline_s)
    for command in unsettled:
        tag = known.get(command.command_id)
        verdict = _late_verdict(command, tag, None if tag is None else found.get(tag.path))
        if verdict.status is command.status:
            continue  # still unknown: nothing new to record
        if await store.settle(command, verdict):
            ended += 1
            log.info(
                "command.settled",
                command_id=command.command_id,
                status=verdict.status.value,
                reason=verdict.reason,
            )
    return ended


def _gateway_silent(command: Unsettled) -> Verdict:
    return Verdict(
        command_id=command.command_id,
        recommendation_id=command.recommendation_id,
        status=CommandStatus.UNKNOWN,
        code=RefusalCode.NOT_CONFIRMED,
        reason=f"not known whether {command.tag_path} took {command.new_value:g} {command.unit}: the gateway sent it "
        f"{command.sent_s_ago:.0f} s ago and has not said what became of it",
    )


def _late_verdict(command: Unsettled, tag: Tag | None, found: Reading | None) -> Verdict:
    def verdict(status: CommandStatus, code: RefusalCode | None, reason: str, shown: float | None) -> Verdict:
        return Verdict(
            command_id=command.command_id,
            recommendation_id=command.recommendation_id,
            status=status,
            code=code,
            reason=reason,
            read_back_value=shown,
        )

    if tag is None:
        return verdict(
            CommandStatus.UNKNOWN,
            RefusalCode.NOT_CONFIRMED,
            f"not known whether {command.tag_path} took {command.new_value:g} {command.unit}: sent "
            f"{command.sent_s_ago:.0f} s ago, and this bridge has no such tag to read back",
            None,
        )
    shown = None if found is None or found.quality is not Quality.GOOD else found.value
    if shown is None or isinstance(shown, str):
        return verdict(
            CommandStatus.UNKNOWN,
            RefusalCode.NOT_CONFIRMED,
            f"not known whether {tag.path} took {command.new_value:g} {command.unit}: sent "
            f"{command.sent_s_ago:.0f} s ago, and the tag cannot be read",
            None,
        )
    try:
        target = as_written(command.new_value, tag.data_type)
        before = as_written(command.expected_value, tag.data_type)
    except ValueError as problem:
        # The tag's type was changed in the configuration after the write was sent.
        return verdict(
            CommandStatus.UNKNOWN,
            RefusalCode.NOT_CONFIRMED,
            f"not known whether {tag.path} took {command.new_value:g} {command.unit}: it shows "
            f"{_show(shown, tag)}, and the two cannot be compared: {problem}",
            float(shown),
        )
    if _equal(shown, target, tag):
        return verdict(
            CommandStatus.EXECUTED,
            None,
            f"written and read back: {_show(shown, tag)}; confirmed {command.sent_s_ago:.0f} s after sending",
            float(shown),
        )
    if _equal(shown, before, tag):
        return verdict(
            CommandStatus.FAILED,
            RefusalCode.NOT_CONFIRMED,
            f"not written: {tag.path} still shows {_show(shown, tag)} {command.sent_s_ago:.0f} s after sending",
            float(shown),
        )
    return verdict(
        CommandStatus.UNKNOWN,
        RefusalCode.NOT_CONFIRMED,
        f"not known whether {tag.path} took {command.new_value:g} {command.unit}: it shows {_show(shown, tag)}, "
        "neither the old value nor the new one",
        float(shown),
    )


async def _look(tags: Sequence[Tag], links: Mapping[str, TagLink], deadline_s: float) -> dict[str, Reading]:
    """Present values by tag path; a tag that cannot be read now is simply not there."""
    by_link: dict[str, list[Tag]] = {}
    for tag in tags:
        by_link.setdefault(tag.link, []).append(tag)

    async def over(name: str, members: Sequence[Tag]) -> list[Reading]:
        link = links.get(name)
        if link is None:
            return []
        try:
            return await link.read(members, deadline_s=deadline_s)
        except (LinkDown, DeadlineExceeded):
            return []  # the verdict says that the tag cannot be read

    groups = await asyncio.gather(*(over(name, members) for name, members in by_link.items()))
    return {reading.tag.path: reading for group in groups for reading in group}


def _connecting(tag: Tag | None, links: Mapping[str, TagLink]) -> bool:
    """True while the tag's link makes its first attempt: not being able to read says nothing yet."""
    link = None if tag is None else links.get(tag.link)
    return link is not None and link.status().state is LinkState.CONNECTING


def _worth_reading(sent: Sent) -> bool:
    return sent.outcome.result in (WriteResult.ACCEPTED, WriteResult.UNKNOWN)


def _equal(found: Value, wanted: Value, tag: Tag) -> bool:
    tolerance = tag.limits.tolerance if tag.limits is not None else 0.0
    return equal_enough(found, wanted, data_type=tag.data_type, tolerance=tolerance)


def _verdict(
    command: Command,
    status: CommandStatus,
    code: RefusalCode | None,
    reason: str,
    read_back: float | None = None,
) -> Verdict:
    return Verdict(
        command_id=command.command_id,
        recommendation_id=command.recommendation_id,
        status=status,
        code=code,
        reason=reason,
        read_back_value=read_back,
    )


def _said(outcome: WriteOutcome) -> str:
    return f"{outcome.status}: {outcome.detail}" if outcome.detail else outcome.status


def _show(value: Value, tag: Tag) -> str:
    shown = (
        ("on" if value else "off")
        if isinstance(value, bool)
        else f"{value:g}"
        if not isinstance(value, str)
        else value
    )
    return f"{shown} {tag.unit}".rstrip()
