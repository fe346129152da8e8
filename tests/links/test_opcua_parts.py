"""The parts of the OPC UA link that need no server: addresses, numbering, decoding, queue, errors, imports."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua.ua import uaerrors
from asyncua.ua.status_codes import StatusCodes, get_name_and_doc
from hypothesis import given
from hypothesis import strategies as st
from link_bench import CONSTANT, FLAG, SystemClock, tag

import bridge
from bridge.domain.reading import Quality, Reading
from bridge.errors import AccessDenied, BridgeError, DeadlineExceeded, LinkDown
from bridge.links import opcua, opcua_session
from bridge.links.freshness import Freshness
from bridge.links.opcua_address import index_in, parse
from bridge.links.opcua_publishing import Message, Publishing, SubscriptionGone
from bridge.links.opcua_readings import StatusBook, to_readings
from bridge.links.opcua_session import Granted
from bridge.links.opcua_status import REFUSALS, UNDECIDED, outcome
from bridge.links.reading_queue import ReadingQueue
from bridge.ports import WriteResult
from bridge.settings import OpcUaLinkSettings

status_error: Any = uaerrors.UaStatusCodeError  # untyped; gives the leaf that belongs to a code
NOW_UTC = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STATUSES = StatusBook(lambda code: str(get_name_and_doc(code)[0]))


class TestAddress:
    @pytest.mark.parametrize(
        ("address", "namespace", "index", "node_id"),
        [
            ("s=A/B", "urn:p", 3, "ns=3;s=A/B"),
            ("i=2258", "", 0, "i=2258"),
            ("nsu=urn:q;s=A;B=C", "urn:p", 1, "ns=1;s=A;B=C"),
            ("ns=7;s=A", "urn:p", 7, "ns=7;s=A"),
            (
                "g=09087e75-8e5e-499b-954f-f2a9603db28a",
                "urn:p",
                3,
                "ns=3;g=09087e75-8e5e-499b-954f-f2a9603db28a",
            ),
            ("nsu=http://opcfoundation.org/UA/;i=85", "urn:p", 0, "i=85"),
        ],
    )
    def test_forms(self, address: str, namespace: str, index: int, node_id: str) -> None:
        found = parse(address, namespace=namespace)
        on_server = ["http://opcfoundation.org/UA/", "urn:q", "urn:x", "urn:p"]
        assert index_in(found, on_server) == index
        assert found.node_id(index) == node_id

    @pytest.mark.parametrize(
        "address", ["", "A", "s=", "i=x", "i=4294967296", "ns=70000;s=A", "nsu=;s=A", "x=1"]
    )
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        with pytest.raises(ValueError, match="wanted"):
            parse(address, namespace="urn:p")

    def test_a_missing_namespace_is_no_index(self) -> None:
        assert index_in(parse("s=A", namespace="urn:p"), ["urn:q"]) is None


class FakeWire:
    """Hands out prepared messages and keeps what it was asked for."""

    def __init__(self, messages: Sequence[Message], kept: dict[int, list[str]]) -> None:
        self.messages = list(messages)
        self.kept = kept
        self.republished: list[int] = []
        self.acknowledged: list[tuple[int, int]] = []

    async def publish(self, acknowledged: Sequence[tuple[int, int]]) -> Message | None:
        self.acknowledged.extend(acknowledged)
        if not self.messages:
            raise SubscriptionGone("no more")
        return self.messages.pop(0)

    async def republish(self, subscription_id: int, number: int) -> Sequence[Any]:
        self.republished.append(number)
        await asyncio.sleep(0)  # another publish response may arrive meanwhile and must wait its turn
        return self.kept.get(number, [])


async def published(messages: Sequence[Message], kept: dict[int, list[str]]) -> tuple[list[Any], FakeWire]:
    wire = FakeWire(messages, kept)
    taken: list[Any] = []
    ended = asyncio.Event()

    def accept(notifications: Sequence[Any], replayed: bool) -> None:
        taken.extend((notification, replayed) for notification in notifications)

    def end(_: str, resumable: bool) -> None:
        assert not resumable
        ended.set()

    publishing = Publishing(wire, accept, end, clock=SystemClock(), link="plant")
    publishing.expect(9)
    async with asyncio.timeout(30):
        await ended.wait()
        await asyncio.sleep(0.01)
    publishing.stop()
    return taken, wire


class TestPublishing:
    async def test_messages_without_gaps_are_passed_on_and_acknowledged(self) -> None:
        taken, wire = await published([Message(9, n, (), [f"m{n}"]) for n in (1, 2, 3)], {})
        assert taken == [("m1", False), ("m2", False), ("m3", False)]
        assert wire.republished == []
        assert {(9, 1), (9, 2)} <= set(wire.acknowledged)

    async def test_a_gap_is_filled_before_what_follows(self) -> None:
        messages = [
            Message(9, 1, (1,), ["m1"]),
            Message(9, 4, (2, 3, 4), ["m4"]),
            Message(9, 5, (5,), ["m5"]),
        ]
        taken, wire = await published(messages, {2: ["m2"], 3: ["m3"]})
        assert taken == [("m1", False), ("m2", True), ("m3", True), ("m4", False), ("m5", False)]
        assert wire.republished == [2, 3]

    async def test_a_keepalive_shows_a_gap_too(self) -> None:
        taken, _ = await published(
            [Message(9, 3, (1, 2), ()), Message(9, 3, (3,), ["m3"])], {1: ["m1"], 2: ["m2"]}
        )
        assert taken == [("m1", True), ("m2", True), ("m3", False)]

    async def test_only_what_the_server_says_it_keeps_is_asked_for_once(self) -> None:
        """A server that answers with empty messages instead of an error must not be asked for ever."""
        taken, wire = await published([Message(9, 8, (6, 7, 8), ["m8"])], {6: [], 7: ["m7"]})
        assert taken == [("m7", True), ("m8", False)]
        assert wire.republished == [6, 7]

    async def test_numbers_wrap_to_one(self) -> None:
        last = 2**32 - 1
        wire = FakeWire([], {})
        publishing = Publishing(wire, lambda *_: None, lambda *_: None, clock=SystemClock(), link="plant")
        for number in (last, 1, 2):
            await publishing.take(Message(5, number, (), ["m"]))
        assert wire.republished == []


def item(handle: int, value: Any, code: int = 0, *, source: Any = NOW_UTC, server: Any = None) -> Any:
    data = SimpleNamespace(
        Value=None if value is None else SimpleNamespace(Value=value),
        StatusCode=SimpleNamespace(value=code),
        SourceTimestamp=source,
        ServerTimestamp=server,
    )
    return SimpleNamespace(ClientHandle=handle, Value=data)


def decode(*items: Any) -> tuple[list[Reading], Freshness]:
    freshness = Freshness([CONSTANT, FLAG])
    readings = to_readings(
        items,
        STATUSES,
        freshness,
        now_s=5.0,
        received_utc=datetime(2026, 11, 20, 13, tzinfo=UTC),
        replayed=True,
    )
    return readings, freshness


class TestReadings:
    def test_order_tags_and_flags(self) -> None:
        readings, freshness = decode(item(1, True), item(0, 2.5), item(0, 3.5))
        assert [(r.tag, r.value, r.replayed, r.confirmed) for r in readings] == [
            (FLAG, True, True, False),
            (CONSTANT, 2.5, True, False),
            (CONSTANT, 3.5, True, False),
        ]
        assert freshness.notified_s == [5.0, 5.0]
        assert freshness.latest[0] is readings[-1]

    def test_the_overflow_bit_is_counted_and_does_not_change_the_name(self) -> None:
        readings, freshness = decode(item(0, 1.0, 0x0480), item(0, 2.0, 0x0400), item(0, 3.0))
        assert freshness.overflowed == 1
        assert {(r.quality, r.status) for r in readings} == {(Quality.GOOD, "Good")}

    @pytest.mark.parametrize(
        ("code", "quality", "name"),
        [
            (StatusCodes.GoodLocalOverride, Quality.GOOD, "GoodLocalOverride"),
            (StatusCodes.UncertainLastUsableValue, Quality.UNCERTAIN, "UncertainLastUsableValue"),
            (StatusCodes.BadSensorFailure, Quality.BAD, "BadSensorFailure"),
        ],
    )
    def test_quality_is_the_servers(self, code: int, quality: Quality, name: str) -> None:
        (reading,), _ = decode(item(0, 1.0, code))
        assert (reading.quality, reading.status) == (quality, name)

    def test_a_good_status_without_a_usable_value_is_bad(self) -> None:
        readings, freshness = decode(item(0, None), item(1, [1.0, 2.0]))
        assert [(r.value, r.quality, r.status) for r in readings] == [
            (None, Quality.BAD, "BadNoData"),
            (None, Quality.BAD, "BadTypeMismatch"),
        ]
        assert freshness.bad == {0: "BadNoData", 1: "BadTypeMismatch"}

    def test_without_a_source_time_the_servers_then_ours(self) -> None:
        server = datetime(2026, 11, 20, 11, tzinfo=UTC)
        epoch = datetime(1601, 1, 1, tzinfo=UTC)
        readings, _ = decode(
            item(0, 1.0, source=None, server=server), item(0, 1.0, source=None), item(0, 1.0, source=epoch)
        )
        assert [r.source_time_utc.hour for r in readings] == [11, 13, 13]
        assert all(r.source_time_utc.tzinfo for r in readings)


@given(sizes=st.lists(st.integers(min_value=0, max_value=40), max_size=30), capacity=st.integers(1, 60))
def test_the_queue_keeps_the_newest_and_counts_the_rest(sizes: list[int], capacity: int) -> None:
    async def run() -> None:
        queue = ReadingQueue(capacity_values=capacity)
        total = 0
        for size in sizes:
            queue.put(
                [Reading(CONSTANT, float(total + n), Quality.GOOD, NOW_UTC, NOW_UTC) for n in range(size)]
            )
            total += size
            assert len(queue) <= capacity
        kept: list[Any] = []
        batches = queue.batches()
        while len(kept) < total - queue.dropped:
            kept += [reading.value for reading in await anext(batches)]
        assert kept == [float(n) for n in range(total - len(kept), total)]

    asyncio.run(run())


class TestOutcome:
    @pytest.mark.parametrize(
        ("name", "result"),
        [
            ("Good", WriteResult.ACCEPTED),
            ("GoodClamped", WriteResult.ACCEPTED),
            ("GoodLocalOverride", WriteResult.ACCEPTED),
            ("GoodCompletesAsynchronously", WriteResult.ACCEPTED),
            ("UncertainLastUsableValue", WriteResult.UNKNOWN),
            ("BadTimeout", WriteResult.UNKNOWN),
            ("BadCommunicationError", WriteResult.UNKNOWN),
            ("BadUserAccessDenied", WriteResult.REFUSED),
            ("BadOutOfRange", WriteResult.REFUSED),
        ],
    )
    def test_each_status_keeps_its_name(self, name: str, result: WriteResult) -> None:
        assert (outcome(name).result, outcome(name).status) == (result, name)
        assert hasattr(StatusCodes, name)


def _leaves(kind: type[BaseException]) -> list[type[BaseException]]:
    return [kind, *(leaf for below in kind.__subclasses__() for leaf in _leaves(below))]


class TestTranslation:
    def test_every_error_of_the_library_becomes_one_of_ours(self) -> None:
        kinds = _leaves(uaerrors.UaError)
        assert len(kinds) > 200, "the status codes are all there"
        for kind in kinds:
            assert issubclass(kind, opcua.LIBRARY_ERRORS)
            problem = kind.__new__(kind)
            takes_code = kind in (uaerrors.UaStatusCodeError, uaerrors.UaStatusCodeErrors)
            if takes_code:
                problem = status_error(StatusCodes.BadUnexpectedError)
            assert isinstance(problem, Exception)
            for opening in (True, False):
                ours = opcua.translated(problem, "x", opening=opening)
                assert isinstance(ours, LinkDown | AccessDenied)
                assert opening or isinstance(ours, LinkDown)

    @pytest.mark.parametrize(
        "problem", [ConnectionResetError(), OSError(), EOFError(), ConnectionError("closed")]
    )
    def test_errors_of_the_socket(self, problem: Exception) -> None:
        assert isinstance(problem, opcua.TRANSPORT_ERRORS)
        assert isinstance(opcua.translated(problem, "x", opening=True), LinkDown)

    def test_time_out_is_a_deadline(self) -> None:
        assert isinstance(opcua.translated(TimeoutError(), "x"), DeadlineExceeded)

    @pytest.mark.parametrize("name", sorted(REFUSALS))
    def test_refusals_are_denied_only_while_opening(self, name: str) -> None:
        problem = status_error(getattr(StatusCodes, name))
        denied = opcua.translated(problem, "x", opening=True)
        assert isinstance(denied, AccessDenied)
        assert name in str(denied)
        assert isinstance(opcua.translated(problem, "x"), LinkDown)

    def test_the_names_exist(self) -> None:
        assert [name for name in REFUSALS | UNDECIDED if not hasattr(StatusCodes, name)] == []

    def test_what_is_raised_above_is_only_ours(self) -> None:
        signature = inspect.signature(opcua.translated)
        assert signature.return_annotation == BridgeError.__name__


def test_asyncua_is_imported_in_one_file_of_the_links() -> None:
    folder = Path(bridge.__file__).parent / "links"
    importing = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0] == "asyncua" for name in names):
                importing.add(path.name)
    assert importing == {"opcua.py"}


async def test_no_request_can_be_held_back_by_the_library() -> None:
    settings = OpcUaLinkSettings(endpoint="opc.tcp://127.0.0.1:1", namespace="urn:p")
    wire = opcua.OpcUaWire(settings, SystemClock())
    assert wire._client.uaclient.pre_request_hook is None
    assert wire._client._auto_reconnect is False


class RefusingWire(FakeWire):
    """A server that knows no node but answers politely."""

    is_open = True

    def __init__(self) -> None:
        super().__init__([], {})
        self.on_lost: Any = None
        self.subscriptions = 0

    def node(self, text: str) -> str:
        return text

    async def connect(self) -> None: ...

    async def read_server(self) -> tuple[list[str], list[int]]:
        return ["http://opcfoundation.org/UA/", "urn:p"], [0, 0, 2]

    async def describe(self, nodes: Sequence[Any]) -> list[Any]:
        return []

    async def create_subscription(self) -> tuple[int, Granted]:
        self.subscriptions += 1
        return self.subscriptions, Granted("Good", 100.0, 10)

    async def create_items(
        self, subscription_id: int, items: Sequence[Any], *, queue_size: int
    ) -> list[Granted]:
        assert len(items) <= 2, "MaxMonitoredItemsPerCall"
        return [Granted("BadNodeIdUnknown", 0.0, 0)] * len(items)

    async def publish(self, acknowledged: Sequence[tuple[int, int]]) -> Message | None:
        await asyncio.Event().wait()
        return None

    def cut(self) -> None: ...


async def test_trying_missing_nodes_for_ever_takes_one_subscription_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opcua_session, "_ITEMS_PER_SUBSCRIPTION", 4)
    wire: Any = RefusingWire()
    settings = OpcUaLinkSettings(endpoint="opc.tcp://127.0.0.1:1", namespace="urn:p")
    freshness = Freshness([tag("A"), tag("B"), tag("C")])
    session = opcua_session.OpcUaSession(
        wire, settings, freshness, lambda _: None, SystemClock(), link="plant", statuses=STATUSES
    )
    await session.open()
    for _ in range(5):
        assert await session.subscribe(range(3)) == dict.fromkeys(range(3), "BadNodeIdUnknown")
    assert wire.subscriptions == 1
    session.drop("end of test")
