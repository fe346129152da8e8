"""In whose name is a call carried out when a session changes hands, and when the database was away meanwhile?"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.object_ids import ObjectIds
from publish_stand import until, users

from bridge.clock import SystemClock
from bridge.errors import StoreDown
from bridge.publish import opcua
from bridge.publish.decisions import Ask, Desk, User
from bridge.publish.opcua import PublishedServer
from bridge.publish.opcua_sessions import Guest, PublishedSession, StrictProcessor, standard
from bridge.publish.snapshot import Feed
from bridge.settings import PublishOpcUaSettings

METHOD = ua.NodeId(ua.String("Decisions/Approve"), ua.Int16(2))


class Names:
    """A host that writes down who asks, and takes its time."""

    def __init__(self) -> None:
        self.asks = {METHOD: Ask.APPROVE}
        self.who: list[str] = []
        self.may_answer = asyncio.Event()

    async def answer(self, user: User, ask: Ask, request: object) -> ua.CallMethodResult:
        self.who.append(user.name)
        await self.may_answer.wait()
        return ua.CallMethodResult()


def logged_in(session: PublishedSession, name: str) -> None:
    session.user = Guest(User(name=name, may_decide=True, session="s"))


def session_of(host: Names, name: str) -> PublishedSession:
    session = PublishedSession.__new__(PublishedSession)
    session.host = cast(Any, host)
    logged_in(session, name)
    return session


def calls(number: int) -> list[ua.CallMethodRequest]:
    return [ua.CallMethodRequest(MethodId=METHOD) for _ in range(number)]


async def test_one_request_decides_in_one_persons_name() -> None:
    """The session may be activated as somebody else while the first of several calls waits for the database."""
    host = Names()
    session = session_of(host, "anna")
    request = asyncio.create_task(session.call(calls(2)))
    await until(_holds(host, 1))
    logged_in(session, "bert")
    host.may_answer.set()
    await request
    assert host.who == ["anna", "anna"]


async def test_a_request_is_of_who_was_logged_in_when_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call may wait behind others; who comes after it must not answer for it."""
    host = Names()
    session = session_of(host, "anna")

    async def carried_out(self: UaProcessor, _header: object, _body: object) -> bool:
        await cast(PublishedSession, self.session).call(calls(1))
        return True

    monkeypatch.setattr(UaProcessor, "process_message", carried_out)
    processor = StrictProcessor.__new__(StrictProcessor)
    processor.session = session
    processor.host = cast(Any, SimpleNamespace())
    processor._calls = set()
    body = Buffer(ua.ua_binary.nodeid_to_binary(standard(ObjectIds.CallRequest_Encoding_DefaultBinary)))
    await processor.process_message(None, body)
    logged_in(session, "bert")
    await until(_holds(host, 1))
    await processor.process_message(None, body)
    await until(_holds(host, 2))
    host.may_answer.set()
    assert host.who == ["anna", "bert"]


def _holds(host: Names, number: int) -> Any:
    async def there() -> bool:
        return len(host.who) >= number

    return there


class AwayDesk:
    """A desk whose database is away at first."""

    def __init__(self) -> None:
        self.away = True
        self.asked = 0
        self.closed: list[str] = []
        self.opened: list[str] = []

    def _fail(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreDown("gone")

    async def close_left_behind(self, _prefix: str) -> int:
        return 0

    async def open_session(self, session: str, *, operator: str) -> None:
        self._fail()
        self.opened.append(f"{session} {operator}")

    async def close_session(self, session: str) -> None:
        self._fail()
        self.closed.append(session)


async def test_who_left_while_the_database_was_away_is_recorded_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the HMI shows somebody as logged in who went hours ago."""
    monkeypatch.setattr(opcua, "_AGAIN_S", 0.01)
    desk = AwayDesk()
    configured = PublishOpcUaSettings.model_validate({"users": users()})
    server = PublishedServer(configured, Feed(), cast(Desk, desk), SystemClock(), agent_id="operations-agent")
    keeping = asyncio.create_task(server._keep_sessions())
    server.entered(User(name="anna", may_decide=True, session="s-1"))
    server.left("s-1")

    async def tried() -> bool:
        return desk.asked >= 3

    async def recorded() -> bool:
        return desk.closed == ["s-1"]

    await until(tried)
    desk.away = False
    await until(recorded)
    assert desk.opened == ["s-1 anna"]
    keeping.cancel()
