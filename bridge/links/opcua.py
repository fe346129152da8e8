"""OPC UA, and the only module that knows asyncua: the services we use, with our deadlines and our errors.

The library's own reconnect is off. It restores with errors swallowed, holds requests back for up to a minute
and sends them later, and after a second drop reports success without a single monitored item. Instead each
cut session is taken up again step by step (ActivateSession over a new channel here, Republish of what the
sequence numbers show to be missing in `opcua_publishing`), and anything doubtful ends in a new session built
from nothing (`supervision`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.client.ua_session import UaSession
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from asyncua.crypto.uacrypto import InvalidSignature as BadProof  # type: ignore[attr-defined]
from asyncua.observer import Observer
from asyncua.ua import status_codes, uaerrors
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError, UaStructParsingError

from bridge.domain.reading import Reading
from bridge.domain.tag import DataType, Tag, Value
from bridge.errors import AccessDenied, BridgeError, DeadlineExceeded, LinkDown, TryAgain
from bridge.links.freshness import Freshness
from bridge.links.opcua_check import NodeFacts, differences
from bridge.links.opcua_publishing import Message, SubscriptionGone, TooManyRequests
from bridge.links.opcua_readings import StatusBook
from bridge.links.opcua_security import (
    APPLICATION_URI_WITHOUT_CERTIFICATE,
    Identity,
    identity,
    is_loopback,
    thumbprint,
)
from bridge.links.opcua_session import Granted, OpcUaSession
from bridge.links.opcua_status import REFUSALS, advice
from bridge.links.reading_queue import ReadingQueue
from bridge.links.supervision import Pace, SupervisedLink
from bridge.ports import Clock
from bridge.settings import OpcUaLinkSettings

TRANSPORT_ERRORS = (OSError, asyncio.TimeoutError, EOFError)  # ConnectionError is an OSError
"""What asyncua lets through from the socket."""
LIBRARY_ERRORS = (
    UaError,
    BadProof,
    struct.error,
    ValueError,
    TypeError,
    AssertionError,
    KeyError,
)
"""What asyncua raises itself, the last five while it reads answers that make no sense."""

_SESSION_GONE = (uaerrors.BadSessionIdInvalid, uaerrors.BadSessionClosed, uaerrors.BadNoSubscription)

_SESSION_TIMEOUT_MS = 60_000
_CALLERS_DEADLINE = float("inf")  # for steps around which the caller holds a deadline of its own
_KEEPALIVE_S = 1.0
_LIFETIME_S = 60.0  # how long the server keeps a subscription whose owner is away
_WRITABLE_BIT = 0x02  # OPC 10000-3 §8.57: AccessLevel CurrentWrite
_SCALAR_RANKS = (-1, -2, -3)
_FACTS = (
    AttributeIds.DataType,
    AttributeIds.ValueRank,
    AttributeIds.AccessLevel,
    AttributeIds.UserAccessLevel,
    AttributeIds.Value,
)
_LIMITS = ("MaxNodesPerRead", "MaxNodesPerWrite", "MaxMonitoredItemsPerCall")
_BUILT_IN = {getattr(ObjectIds, data_type.value): data_type for data_type in DataType}
_VARIANT_TYPES = {data_type: getattr(ua.VariantType, data_type.value) for data_type in DataType}


_CARRIED: dict[Any, DataType] = {
    variant_type: data_type for data_type, variant_type in _VARIANT_TYPES.items()
}


_STATUSES = StatusBook(lambda code: str(status_codes.get_name_and_doc(code)[0]))


class _Observer(Observer):
    """Tells a session that its wire is gone, in the same turn of the loop; times no requests."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost

    def observe_request(self, request: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def on_state_change(self, state: UaClientState) -> None:
        if state is UaClientState.DISCONNECTED:
            self._on_lost()


class _QuietUaSession(UaSession):
    """A UaSession whose publishing is done by us: the library's loop logs a traceback each second of a cut."""

    def ensure_publish_loop(self) -> None:
        """Start nothing."""


class OpcUaWire:
    """A connection to one server with a session on it; raises only errors of the bridge."""

    def __init__(self, settings: OpcUaLinkSettings, clock: Clock) -> None:
        self.on_lost: Callable[[], None] = _nothing
        self._settings = settings
        self._clock = clock
        self._identity: Identity | None = None
        self._renew_at_s = 0.0
        # The library's limit per request is only a backstop; ours is asyncio.timeout around each call. It is
        # also the TimeoutHint, after which a server need not start on a request any more.
        self._client = Client(settings.endpoint, timeout=max(2 * settings.deadline_s, 5.0))
        self._client.name = self._client.description = "Ignition-Lakebase bridge"
        self._client.session_timeout = _SESSION_TIMEOUT_MS
        self._transport = self._client.uaclient
        # Without this hook no request can be held back until a wire returns.
        self._transport.pre_request_hook = None
        self._transport.observer = _Observer(lambda: self.on_lost())
        self._session = self._transport.session = _QuietUaSession(self._transport)

    # --- connecting and parting ---

    async def connect(self) -> None:
        """From nothing to an activated session; raises LinkDown, DeadlineExceeded or AccessDenied."""
        await self._secure()
        try:
            async with self._step("connect", opening=True):
                await self._open_channel()
                await self._client.create_session()
                await self._activate()
        except TryAgain as problem:
            # Many servers answer a message that was encrypted for somebody else with silence.
            unsuitable = await self._unsuitable_server()
            if unsuitable is not None:
                raise AccessDenied(f"{self._settings.endpoint}: {unsuitable}") from problem
            raise

    async def reconnect(self) -> bool:
        """The same session over a new connection (OPC 10000-4 §6.7); False when the server refuses it.

        Whatever the reason of a refusal: a session made from nothing finds it out and says it better.
        """
        async with self._step("resume"):
            await self._open_channel()
            self._session.rebind_authentication_token()
            try:
                await self._activate()
            except UaStatusCodeError:
                return False
        return True

    @property
    def is_open(self) -> bool:
        """Whether a request would go to the socket at once."""
        protocol = self._transport.protocol
        if protocol is None or protocol.transport is None or protocol.transport.is_closing():
            return False
        return self._transport.state in (UaClientState.CONNECTED, UaClientState.CHANNEL_OPEN)

    def cut(self) -> None:
        """End the connection now, and with it whatever was not yet sent."""
        protocol = self._transport.protocol
        if protocol is not None and protocol.transport is not None:
            connection = protocol.transport.get_extra_info("socket")
            if connection is not None:
                # Linger 0 makes the kernel throw its unsent bytes away too (a write must not arrive after we
                # called it unknown); without it close() goes on delivering them in the background.
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            protocol.transport.abort()
        self._transport.disconnect_socket()

    async def leave(self) -> None:
        """Close session and subscriptions at the server, if that works within a second."""
        if self.is_open:
            with contextlib.suppress(BridgeError):
                async with self._step("close", deadline_s=1.0):
                    await self._transport.close_session(True)
                    await self._transport.close_secure_channel()

    async def renew(self) -> None:
        """Renew the secure channel after three quarters of its life (OPC 10000-4 §5.5.2.1)."""
        if self._clock.monotonic_s() >= self._renew_at_s:
            async with self._step("renew the secure channel"):
                await self._client.open_secure_channel(renew=True)
                self._transport.revolve_security_token()
            self._plan_renewal()

    async def _secure(self) -> None:
        self._identity = identity(self._settings)
        self._client.application_uri = APPLICATION_URI_WITHOUT_CERTIFICATE
        if self._identity is None:
            return
        self._client.application_uri = self._identity.application_uri
        # A given server certificate is the pin: the first message is encrypted for its key, so only its
        # owner can answer, and create_session compares it again, both before any credential is sent.
        async with self._step("prepare security", opening=True):
            await self._client.set_security(
                getattr(security_policies, f"SecurityPolicy{self._identity.policy}"),
                CertProperties(self._identity.certificate, "der"),
                CertProperties(self._identity.private_key, "der"),
                server_certificate=CertProperties(self._identity.server_certificate, "der"),
                mode=ua.MessageSecurityMode.SignAndEncrypt,
            )

    async def _unsuitable_server(self) -> str | None:
        """After a failure to connect: what the server offers in the clear, compared with policy and pin.

        Only to find words; nothing of ours but the question is sent, and the answer is not relied upon.
        """
        if self._identity is None:
            return None
        asking = Client(self._settings.endpoint, timeout=self._settings.deadline_s)
        try:
            async with self._step("ask for endpoints"):
                offered = await asking.connect_and_get_server_endpoints()
        except BridgeError:
            return None
        policy = getattr(security_policies, f"SecurityPolicy{self._identity.policy}").URI
        fitting = [
            endpoint.ServerCertificate
            for endpoint in offered
            if endpoint.SecurityPolicyUri == policy
            and endpoint.SecurityMode == ua.MessageSecurityMode.SignAndEncrypt
        ]
        if not fitting:
            return f"{self._identity.policy}: {advice('BadSecurityPolicyRejected')}"
        # A server may send its certificate followed by the chain.
        if not any((presented or b"").startswith(self._identity.server_certificate) for presented in fitting):
            return (
                f"server_certificate has the thumbprint {thumbprint(self._identity.server_certificate)}, but the "
                f"server presents {thumbprint(fitting[0])}; find out which is right before pinning another one"
            )
        return None

    async def _open_channel(self) -> None:
        await self._client.connect_socket()
        await self._client.send_hello()
        await self._client.open_secure_channel()
        self._plan_renewal()

    async def _activate(self) -> None:
        await self._client.activate_session(
            username=self._settings.username or None,
            password=self._settings.password.get_secret_value() or None,
        )

    def _plan_renewal(self) -> None:
        self._renew_at_s = self._clock.monotonic_s() + 0.75 * self._client.secure_channel_timeout / 1000

    @contextlib.asynccontextmanager
    async def _step(
        self, doing: str, *, opening: bool = False, deadline_s: float | None = None
    ) -> AsyncIterator[None]:
        """Our deadline around one call, and asyncua's errors as the bridge's."""
        limit_s = self._settings.deadline_s if deadline_s is None else deadline_s
        what = f"{self._settings.endpoint}: could not {doing}"
        try:
            async with asyncio.timeout(limit_s if limit_s < _CALLERS_DEADLINE else None):
                yield
        except TimeoutError as problem:
            raise DeadlineExceeded(f"{what} within {limit_s:g} s") from problem
        except LIBRARY_ERRORS + TRANSPORT_ERRORS as problem:
            raise translated(problem, what, opening=opening) from problem

    # --- attributes ---

    def node(self, text: str) -> Any:
        """A node id from OPC UA's own notation."""
        return ua.NodeId.from_string(text)

    async def read_server(self) -> tuple[list[str], list[int]]:
        """Namespaces in the server's order, and how much one call may read, write and subscribe (0: unstated)."""
        numbers = [
            getattr(ObjectIds, f"Server_ServerCapabilities_OperationLimits_{name}") for name in _LIMITS
        ]
        wanted = [_standard(number) for number in (ObjectIds.Server_NamespaceArray, *numbers)]
        async with self._step("read the namespaces"):
            namespaces, *limits = map(_plain, await self._read([_read_id(node) for node in wanted]))
        return list(namespaces or ()), [int(limit or 0) for limit in limits]

    async def read_state(self) -> None:
        """Any answer will do; the caller holds the deadline."""
        await self.read_values([_standard(ObjectIds.Server_ServerStatus_State)])

    async def read_values(self, nodes: Sequence[Any]) -> list[Any]:
        """Present values with both timestamps; the caller holds the deadline."""
        async with self._step("read", deadline_s=_CALLERS_DEADLINE):
            return await self._read([_read_id(node) for node in nodes])

    async def describe(self, nodes: Sequence[Any]) -> list[NodeFacts]:
        """Type, rank and access of each node."""
        async with self._step("read data types"):
            answers = await self._read([_read_id(node, attribute) for node in nodes for attribute in _FACTS])
        return [_facts(answers[start : start + len(_FACTS)]) for start in range(0, len(answers), len(_FACTS))]

    async def ranges(self, nodes: Sequence[Any]) -> list[tuple[float, float] | None]:
        """The EURange property of each node (OPC 10000-8 §5.3.2.3), None where there is none."""
        paths = []
        for node in nodes:
            step = ua.RelativePathElement()
            step.ReferenceTypeId = _standard(ObjectIds.HasProperty)
            step.IsInverse = False  # type: ignore[assignment]
            step.TargetName = ua.QualifiedName("EURange", 0)
            path = ua.BrowsePath()
            path.StartingNode = node
            path.RelativePath = ua.RelativePath([step])
            paths.append(path)
        async with self._step("read engineering ranges"):
            results = await self._session.translate_browsepaths_to_nodeids(paths)
            targets = [result.Targets[0].TargetId if result.Targets else None for result in results]
            answers = iter(await self._read([_read_id(node) for node in targets if node is not None]))
        values = [None if node is None else _plain(next(answers)) for node in targets]
        return [(float(v.Low), float(v.High)) if isinstance(v, ua.Range) else None for v in values]

    async def _read(self, wanted: Sequence[ua.ReadValueId]) -> list[ua.DataValue]:
        if not wanted:
            return []  # BadNothingToDo otherwise
        parameters = ua.ReadParameters()
        parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        parameters.NodesToRead = list(wanted)
        return await self._session.read(parameters)

    async def write(self, items: Sequence[tuple[Any, DataType, Value]]) -> list[str]:
        """Write node, type and value once; a status name each. Raises LinkDown when the answer was lost."""
        parameters = ua.WriteParameters()
        for node, data_type, value in items:
            item = ua.WriteValue()
            item.NodeId = node
            item.AttributeId = AttributeIds.Value
            # Many servers refuse a status or a timestamp sent along (BadWriteNotSupported).
            item.Value = ua.DataValue(ua.Variant(value, _VARIANT_TYPES[data_type]), StatusCode=None)
            parameters.NodesToWrite.append(item)
        lost = f"{self._settings.endpoint}: the connection ended while a write was on its way"
        try:
            answers = await self._session.write(parameters)
        except UaStatusCodeError as problem:
            if not self.is_open:
                # The status ended the connection and was not an answer to this request.
                raise LinkDown(f"{lost}: {_name(problem)}") from problem
            return [_name(problem)] * len(items)
        except LIBRARY_ERRORS + TRANSPORT_ERRORS as problem:
            raise LinkDown(f"{lost}: {problem!r}") from problem
        except asyncio.CancelledError as problem:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise LinkDown(f"{lost}: the library cancelled it") from problem
        return [_STATUSES[answer.value][1] for answer in answers]

    # --- subscriptions ---

    async def create_subscription(self) -> tuple[int, Granted]:
        """A subscription as the settings want it; its id, and interval and keep-alive count as granted."""
        publishing_ms = self._settings.publishing_ms
        parameters = ua.CreateSubscriptionParameters()
        parameters.RequestedPublishingInterval = publishing_ms
        parameters.RequestedMaxKeepAliveCount = max(1, round(_KEEPALIVE_S * 1000 / publishing_ms))
        parameters.RequestedLifetimeCount = max(
            3 * parameters.RequestedMaxKeepAliveCount, round(_LIFETIME_S * 1000 / publishing_ms)
        )
        parameters.MaxNotificationsPerPublish = 10_000
        parameters.PublishingEnabled = True
        async with self._step("create a subscription"):
            result = await self._session.create_subscription(parameters, _nothing)
        granted = Granted(
            "Good", float(result.RevisedPublishingInterval), int(result.RevisedMaxKeepAliveCount)
        )
        return int(result.SubscriptionId), granted

    async def create_items(
        self, subscription_id: int, items: Sequence[tuple[int, Any]], *, queue_size: int
    ) -> list[Granted]:
        """Subscribe nodes under our handles; sampling interval and queue size of each as granted."""
        wanted = ua.CreateMonitoredItemsParameters()
        wanted.SubscriptionId = subscription_id
        wanted.TimestampsToReturn = ua.TimestampsToReturn.Both
        for handle, node in items:
            parameters = ua.MonitoringParameters()
            parameters.ClientHandle = handle
            parameters.SamplingInterval = self._settings.sampling_ms
            parameters.QueueSize = queue_size
            parameters.DiscardOldest = True  # the newest value is the one to act on; what is lost is counted
            request = ua.MonitoredItemCreateRequest()
            request.ItemToMonitor = _read_id(node)
            request.MonitoringMode = ua.MonitoringMode.Reporting
            request.RequestedParameters = parameters
            wanted.ItemsToCreate.append(request)
        async with self._step("subscribe"):
            results = await self._session.create_monitored_items(wanted)
        return [
            Granted(
                _STATUSES[result.StatusCode.value][1],
                float(result.RevisedSamplingInterval),
                int(result.RevisedQueueSize),
            )
            for result in results
        ]

    async def publish(self, acknowledged: Sequence[tuple[int, int]]) -> Message | None:
        """See `bridge.links.opcua_publishing.Wire`."""
        pairs = []
        for subscription_id, number in acknowledged:
            pair = ua.SubscriptionAcknowledgement()
            pair.SubscriptionId = ua.IntegerId(subscription_id)
            pair.SequenceNumber = ua.Counter(number)
            pairs.append(pair)
        try:
            result = (await self._session.publish(pairs)).Parameters
        except (uaerrors.BadTimeout, UaStructParsingError):
            return None  # lapsed, or unreadable: the numbers will show what is missing
        except uaerrors.BadTooManyPublishRequests as problem:
            raise TooManyRequests(_name(problem)) from problem
        except _SESSION_GONE as problem:
            raise SubscriptionGone(f"the server gave the subscription up: {_name(problem)}") from problem
        except LIBRARY_ERRORS + TRANSPORT_ERRORS as problem:
            raise LinkDown(f"publishing failed: {problem!r}") from problem
        content = result.NotificationMessage
        return Message(
            result.SubscriptionId,
            content.SequenceNumber,
            result.AvailableSequenceNumbers or (),
            content.NotificationData or (),
        )

    async def republish(self, subscription_id: int, number: int) -> Sequence[Any]:
        """See `bridge.links.opcua_publishing.Wire`."""
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                message = await self._session.republish(subscription_id, number)
        except uaerrors.BadMessageNotAvailable:
            return ()
        except LIBRARY_ERRORS + TRANSPORT_ERRORS as problem:
            raise LinkDown(f"republishing failed: {problem!r}") from problem
        return message.NotificationData or ()

    def unfold(self, notification: Any) -> tuple[Sequence[Any], str]:
        """The item changes in a notification, and the status that ended the subscription, if one did."""
        if isinstance(notification, ua.DataChangeNotification):
            return notification.MonitoredItems, ""
        if isinstance(notification, ua.StatusChangeNotification):
            return (), _STATUSES[notification.Status.value][1]
        return (), ""


class OpcUaLink(SupervisedLink):
    """The TagLink to one OPC UA server."""

    def __init__(self, name: str, settings: OpcUaLinkSettings, tags: Sequence[Tag], clock: Clock) -> None:
        freshness = Freshness(tags)
        queue = ReadingQueue(capacity_values=settings.buffer_values)
        pace = Pace(
            deadline_s=settings.deadline_s,
            reconnect_max_s=settings.reconnect_max_s,
            refresh_s=settings.refresh_s,
            probe_deadline_s=min(max(settings.deadline_s, 1.0), 5.0),
            grace_s=1.0 + 3 * max(settings.publishing_ms, settings.sampling_ms) / 1000,
        )
        super().__init__(
            name,
            freshness,
            queue,
            pace=pace,
            clock=clock,
            session=lambda: _session(name, settings, freshness, queue.put, clock),
        )
        self._settings = settings
        self._tags = tuple(tags)

    async def check(self) -> list[str]:
        """Connect once, compare every configured tag with the server, and list all problems found.

        Looks at existence, data type, access level and user rights, and engineering range against limits.
        """
        settings = self._settings
        found: list[str] = []
        if settings.security == "none" and not is_loopback(settings.endpoint):
            found.append(
                f"link {self._name}: security is none and {settings.endpoint} is another machine; values, set-points "
                "and password travel in the clear"
            )
        session = _session(self._name, settings, Freshness(self._tags), _nothing, self._clock)
        try:
            await session.open()
            facts = await session.describe(self._tags)
            ranges = await session.ranges([tag for tag in self._tags if tag.writable])
        except TryAgain as problem:
            return [*found, f"link {self._name}: {problem}"]
        finally:
            await session.close()
        found += session.missing_namespaces()
        for tag in self._tags:
            if session.resolved(tag):
                found += differences(tag, facts[tag.path], ranges.get(tag.path))
        return found


def translated(problem: Exception, what: str, *, opening: bool = False) -> BridgeError:
    """An error of asyncua or of the socket as one of ours.

    Only while opening is a refusal AccessDenied: the same code in answer to a read concerns that read.
    """
    if isinstance(problem, asyncio.TimeoutError):
        return DeadlineExceeded(f"{what}: no answer in time")
    if isinstance(problem, UaStatusCodeError):
        name = _name(problem)
        if opening and name in REFUSALS:
            return AccessDenied(f"{what}: {name}: {advice(name)}")
        return LinkDown(f"{what}: {name}")
    if opening and isinstance(problem, BadProof):
        return AccessDenied(f"{what}: the server cannot prove that it owns the pinned server_certificate")
    if opening and isinstance(problem, UaError):
        # UaError without a status: no endpoint with our policy, or another certificate than the pinned one.
        return AccessDenied(
            f"{what}: {problem}: {advice('BadSecurityPolicyRejected')}, or pin its present certificate"
        )
    return LinkDown(f"{what}: {type(problem).__name__}: {problem}")


def _name(problem: UaStatusCodeError) -> str:
    return _STATUSES[problem.code][1]


def _nothing(*_: object) -> None:
    """Nobody listens: check subscribes nothing, and publishing is done by us and not by callback."""


def _session(
    name: str,
    settings: OpcUaLinkSettings,
    freshness: Freshness,
    sink: Callable[[list[Reading]], None],
    clock: Clock,
) -> OpcUaSession:
    wire = OpcUaWire(settings, clock)
    return OpcUaSession(wire, settings, freshness, sink, clock, link=name, statuses=_STATUSES)


def _standard(number: int) -> ua.NodeId:
    """A node of OPC UA's own namespace 0."""
    return ua.NodeId(ua.Int32(number))


def _read_id(node: ua.NodeId, attribute: AttributeIds = AttributeIds.Value) -> ua.ReadValueId:
    wanted = ua.ReadValueId()
    wanted.NodeId = node
    wanted.AttributeId = attribute
    return wanted


def _plain(answer: ua.DataValue) -> Any:
    return None if answer.Value is None else answer.Value.Value


def _status(answer: ua.DataValue) -> str:
    return "Good" if answer.StatusCode is None else _STATUSES[answer.StatusCode.value][1]


def _facts(answers: Sequence[ua.DataValue]) -> NodeFacts:
    """Facts from the answers to `_FACTS`, in that order."""
    if _status(answers[0]) != "Good":
        return NodeFacts(status=_status(answers[0]))
    type_id, rank, access, user_access, value = map(_plain, answers)
    data_type = _BUILT_IN.get(type_id.Identifier) if type_id.NamespaceIndex == 0 else None
    type_name = data_type.value if data_type else type_id.to_string()
    carried = None if answers[4].Value is None else _CARRIED.get(answers[4].Value.VariantType)
    if data_type is None and value is not None and carried is not None:
        # A derived or abstract type (Duration, Number, …): on the wire its values have the type just read.
        data_type, type_name = carried, f"{type_name} carried as {carried}"
    return NodeFacts(
        status="Good",
        data_type=data_type,
        type_name=type_name,
        scalar=rank in _SCALAR_RANKS and not isinstance(value, list),
        writable=bool((access or 0) & _WRITABLE_BIT),
        user_writable=bool((user_access or 0) & _WRITABLE_BIT),
    )
