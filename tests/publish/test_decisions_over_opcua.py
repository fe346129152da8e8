"""Do the methods decide only for whom they may, on what was shown, and say in words why not?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import product

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import BadUserAccessDenied
from publish_stand import Stand, call, minutes, node_id, read, text, until, words

REACTOR = "Equipment/REACTOR_01"
OLD_DIGEST = "0" * 64


async def shown(stand: Stand, **proposal: object) -> tuple[str, str]:
    """A pending recommendation, and its digest as a client sees it."""
    made = stand.hands.propose(**proposal)  # type: ignore[arg-type]
    await stand.shows(f"{REACTOR}/Recommendation/Id", made)
    return made, await stand.value(f"{REACTOR}/Recommendation/Digest")


async def test_an_operator_approves_what_was_shown_under_the_own_name(stand: Stand) -> None:
    """The approval must carry the session's user and the digest, and show up as a tag."""
    made, digest = await shown(stand)
    async with stand.client("anna") as anna:
        result = await call(anna, "Approve", text(made), text(digest), text("looks right"))
    assert words(result) == ("Good", "done", f"{made} is approved")
    row = stand.hands.owner.execute("select * from approvals").fetchall()
    assert [(r["recommendation_id"], r["operator"], r["digest"], r["comment"]) for r in row] == [
        (made, "anna", digest, "looks right")
    ]
    assert stand.hands.recommendation(made)["approved_by_operator"] == "anna"
    assert stand.hands.trail(made)[-1]["actor"] == "anna"
    await stand.shows(f"{REACTOR}/Recommendation/Status", "approved")


async def test_the_first_of_two_approvals_says_that_another_person_is_wanted(stand: Stand) -> None:
    """One of two approvals leaves it pending, and the same person cannot give the second."""
    made, digest = await shown(stand, approvals_required=2)
    async with stand.client("anna") as anna:
        first = await call(anna, "Approve", text(made), text(digest), text(None))
        again = await call(anna, "Approve", text(made), text(digest), text(""))
    assert words(first) == ("Good", "done", f"{made} is pending; another person has to approve, too")
    assert words(again)[:2] == ("BadInvalidState", "not_open")


async def test_rejecting_and_deferring_are_recorded_in_the_own_name(stand: Stand) -> None:
    """Reason and time must arrive; the name is the session's."""
    made, digest = await shown(stand)
    async with stand.client("anna") as anna:
        deferred = await call(anna, "Defer", text(made), text(digest), minutes(30.0))
        assert words(deferred)[:2] == ("Good", "done")
        assert stand.hands.recommendation(made)["decided_by_operator"] == "anna"
        stand.hands.operator.execute(
            "update agent_recommendations set status = 'pending' where recommendation_id = %s", (made,)
        )
        rejected = await call(anna, "Reject", text(made), text(digest), text("not today"))
    assert words(rejected)[:2] == ("Good", "done")
    row = stand.hands.recommendation(made)
    assert (row["status"], row["decided_by_operator"], row["rejection_reason"]) == (
        "rejected",
        "anna",
        "not today",
    )


async def test_without_the_role_nothing_is_decided(stand: Stand) -> None:
    """Anonymous and viewers are refused, whatever they send, and nothing changes."""
    made, digest = await shown(stand)
    for user, method in product(("", "viktor"), ("Approve", "Reject", "Defer")):
        last = minutes(5.0) if method == "Defer" else text("because")
        with stand.hands.unchanged():
            async with stand.client(user) as client:
                for arguments in ((text(made), text(digest), last), (), (last, last, last, last)):
                    result = await call(client, method, *arguments)
                    assert words(result)[:2] == ("BadUserAccessDenied", "not_permitted"), (user, method)
                method_node = client.get_node(await node_id(client, f"Decisions/{method}"))
                executable = await method_node.read_attribute(AttributeIds.UserExecutable)
                assert executable.Value is not None
                assert executable.Value.Value is False, (user, method)


async def test_a_wrong_password_gets_no_session(stand: Stand) -> None:
    """Not even one that may look."""
    with pytest.raises(BadUserAccessDenied):
        async with stand.client("anna", "correct horse?"):
            pass
    with pytest.raises(BadUserAccessDenied):
        async with stand.client("nobody", "correct horse"):
            pass
    with pytest.raises(BadUserAccessDenied):
        async with stand.client("anna", ""):
            pass


async def test_a_user_with_an_agents_name_decides_nothing(stand: Stand) -> None:
    """What proposes must not approve, whatever somebody wrote into the configuration."""
    made, digest = await shown(stand)
    stand.hands.agent.execute("insert into agent_health (agent_id) values ('Other-Agent')")
    with stand.hands.unchanged():
        async with stand.client("other-agent") as agent:
            for method, last in (("Approve", text("")), ("Reject", text("x")), ("Defer", minutes(5.0))):
                result = await call(agent, method, text(made), text(digest), last)
                assert words(result)[:2] == ("BadUserAccessDenied", "not_permitted"), method
                assert "is an agent" in words(result)[2]


async def test_a_stale_digest_decides_nothing(stand: Stand) -> None:
    """When the writes changed after they were shown, the old digest must not approve the new writes."""
    made, digest = await shown(stand)
    stand.hands.revise(made, [{"tag_path": "[default]REACTOR_01/ThroughputSetpoint", "from": 450.0, "to": 300.0,
                               "unit": "kg/h"}])  # fmt: skip
    with stand.hands.unchanged():
        async with stand.client("anna") as anna:
            for method, last in (("Approve", text("")), ("Reject", text("x")), ("Defer", minutes(5.0))):
                result = await call(anna, method, text(made), text(digest), last)
                assert words(result)[:2] == ("BadNoMatch", "stale_digest"), method
                assert "look at its writes again" in words(result)[2]
                assert result.InputArgumentResults[1].name == "BadInvalidArgument"


async def test_what_is_not_open_any_more_says_so(stand: Stand) -> None:
    """Decided, expired or never there: each by its own name."""
    made, digest = await shown(stand)
    stand.hands.approve(made, by="otto")
    async with stand.client("anna") as anna:
        late = await call(anna, "Approve", text(made), text(digest), text(""))
        assert words(late)[:2] == ("BadInvalidState", "not_open")
        assert "approved by otto" in words(late)[2]
        absent = await call(anna, "Approve", text("R-999"), text(digest), text(""))
        assert words(absent)[:2] == ("BadNotFound", "not_found")
        other = stand.hands.propose(equipment_id="PUMP_01", writes=[])
        stand.hands.let_expire(other)
        own = stand.hands.recommendation(other)["write_digest"]
        expired = await call(anna, "Approve", text(other), text(own), text(""))
        assert words(expired)[:2] == ("BadInvalidState", "not_open")


def _wrong(made: str, digest: str) -> dict[str, tuple[str, list[ua.Variant], str, str]]:
    double = minutes(1.0)
    return {
        "too few": ("Approve", [text(made), text(digest)], "BadArgumentsMissing", ""),
        "none": ("Approve", [], "BadArgumentsMissing", ""),
        "too many": ("Approve", [text(made)] * 4, "BadTooManyArguments", ""),
        "a number for an id": ("Approve", [double, text(digest), text("")], "BadInvalidArgument", ""),
        "a text for minutes": ("Defer", [text(made), text(digest), text("5")], "BadInvalidArgument", ""),
        "null minutes": ("Defer", [text(made), text(digest), ua.Variant()], "BadInvalidArgument", ""),
        "an array": (
            "Approve",
            [ua.Variant([made], ua.VariantType.String), text(digest), text("")],
            "BadInvalidArgument",
            "",
        ),
        "bytes": (
            "Reject",
            [text(made), text(digest), ua.Variant(b"x", ua.VariantType.ByteString)],
            "BadInvalidArgument",
            "",
        ),
        "no id": ("Approve", [text(None), text(digest), text("")], "BadInvalidArgument", "wrong_argument"),
        "no digest": ("Approve", [text(made), text(""), text("")], "BadInvalidArgument", "wrong_argument"),
        "a null digest": (
            "Reject",
            [text(made), text(None), text("x")],
            "BadInvalidArgument",
            "wrong_argument",
        ),
        "SQL for an id": (
            "Approve",
            [text("' or 1=1; drop table approvals; --"), text(digest), text("")],
            "BadNotFound",
            "not_found",
        ),
        "SQL for a digest": (
            "Approve",
            [text(made), text("' or write_digest <> '"), text("")],
            "BadInvalidArgument",
            "wrong_argument",
        ),
        "a NUL": ("Reject", [text(made), text(digest), text("a\0b")], "BadInvalidArgument", "wrong_argument"),
        "a novel": (
            "Reject",
            [text(made), text(digest), text("x" * 5000)],
            "BadInvalidArgument",
            "wrong_argument",
        ),
        "no reason": (
            "Reject",
            [text(made), text(digest), text("  ")],
            "BadInvalidArgument",
            "reason_missing",
        ),
        "no minutes": (
            "Defer",
            [text(made), text(digest), minutes(0.0)],
            "BadInvalidArgument",
            "wrong_argument",
        ),
        "minutes back": (
            "Defer",
            [text(made), text(digest), minutes(-5.0)],
            "BadInvalidArgument",
            "wrong_argument",
        ),
        "years": ("Defer", [text(made), text(digest), minutes(1e9)], "BadInvalidArgument", "wrong_argument"),
        "not a number": (
            "Defer",
            [text(made), text(digest), minutes(float("nan"))],
            "BadInvalidArgument",
            "wrong_argument",
        ),
    }


async def test_arguments_that_are_none_are_refused_by_name(stand: Stand) -> None:
    """Every slip, and every trick, must be named and leave every row as it was."""
    made, digest = await shown(stand)
    with stand.hands.unchanged():
        async with stand.client("anna") as anna:
            for case, (method, arguments, status, result_word) in _wrong(made, digest).items():
                result = await call(anna, method, *arguments)
                assert words(result)[:2] == (status, result_word), case


async def test_words_in_a_comment_stay_words(stand: Stand) -> None:
    """A comment that looks like SQL or markup is kept as it is."""
    made, digest = await shown(stand)
    comment = "'); drop table approvals; -- <b>{0}</b> %s :name ünïcödé"
    async with stand.client("anna") as anna:
        result = await call(anna, "Approve", text(made), text(digest), text(comment))
    assert words(result)[0] == "Good"
    assert stand.hands.value("select comment from approvals") == comment


async def test_a_database_that_is_away_is_said_and_nothing_is_claimed(stand: Stand) -> None:
    """Without an answer the method must say that nobody knows, not that it was refused or done."""
    made, digest = await shown(stand)
    async with stand.client("anna") as anna:
        await stand.wire.cut()
        calling = asyncio.create_task(call(anna, "Approve", text(made), text(digest), text("")))
        await asyncio.sleep(0.1)
        assert (await read(anna, "Agent/Id")).Value is not None
        assert not calling.done(), "values have to flow while a decision waits for the database"
        result = await calling
        assert words(result)[:2] == ("BadResourceUnavailable", "database_away")
        assert "is not known" in words(result)[2]
        await stand.wire.restore()

        async def approved() -> bool:
            return words(await call(anna, "Approve", text(made), text(digest), text("")))[0] == "Good"

        await until(approved)


async def test_who_may_decide_is_there_as_a_session_and_leaves_again(stand: Stand) -> None:
    """Login, decisions and leaving must be recorded where the HMI's sessions are; viewers leave no trace."""

    def sessions(status: str) -> Callable[[], object]:
        return lambda: stand.hands.owner.execute(
            "select * from operator_sessions where status = %s", (status,)
        ).fetchall()

    made, digest = await shown(stand)
    async with stand.client("viktor"), stand.client("anna") as anna:
        found = await until(_async(sessions("active")))
        assert [(row["operator_id"], row["may_decide"], row["may_arm"]) for row in found] == [
            ("anna", True, None)
        ]
        await call(anna, "Approve", text(made), text(digest), text(""))
    closed = await until(_async(sessions("closed")))
    assert [(row["operator_id"], row["approved_recommendations"]) for row in closed] == [("anna", 1)]
    assert closed[0]["logout_timestamp"] is not None


def _async(look: Callable[[], object]):  # type: ignore[no-untyped-def]
    async def looked() -> object:
        return look()

    return looked
