"""Who gets into the published OPC UA server: asyncua's sessions and connections, made stricter at the door.

No session without the configured security, no registration of other servers, session tokens that cannot be
guessed, passwords checked beside the event loop and slowly for whoever guesses, and calls that know who calls.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, copy_context
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

import structlog
from asyncua import ua
from asyncua.common.utils import Buffer, ServiceError
from asyncua.crypto.permission_rules import User as Permission
from asyncua.crypto.permission_rules import UserRole
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.server import Server
from asyncua.server.uaprocessor import UaProcessor
from asyncua.server.user_managers import UserManager
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError

from bridge.publish.decisions import Ask, User
from bridge.publish.passwords import Door
from bridge.settings import PublishUserSettings

log = structlog.get_logger(__name__)

LONGEST_MESSAGE = 2**20
"""Bytes; subscriptions to ten thousand nodes come in several."""


def standard(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


def status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))


_BEFORE_SESSION = frozenset(
    standard(number)
    for number in (
        ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary,
        ObjectIds.FindServersRequest_Encoding_DefaultBinary,
        ObjectIds.CloseSecureChannelRequest_Encoding_DefaultBinary,
    )
)
_REGISTRATION = frozenset(
    standard(number)
    for number in (
        ObjectIds.RegisterServerRequest_Encoding_DefaultBinary,
        ObjectIds.RegisterServer2Request_Encoding_DefaultBinary,
    )
)
_CALL = standard(ObjectIds.CallRequest_Encoding_DefaultBinary)
_MOST_CALLS = 8  # of one connection at a time
_CREATE = standard(ObjectIds.CreateSessionRequest_Encoding_DefaultBinary)
_ACTIVATE = standard(ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary)


_LEAST_INTERVAL_MS, _LONGEST_INTERVAL_MS = 50.0, 3_600_000.0  # of publishing to one subscription
_GOOD = status(StatusCodes.Good)
_NO_SUBSCRIPTION = status(StatusCodes.BadSubscriptionIdInvalid)


class Host(Protocol):
    """What sessions and connections ask of the server they belong to."""

    secured: bool
    door: Door

    @property
    def asks(self) -> Mapping[ua.NodeId, Ask]: ...

    async def answer(self, user: User, ask: Ask, request: ua.CallMethodRequest) -> ua.CallMethodResult: ...
    def entered(self, user: User) -> None: ...
    def left(self, session: str) -> None: ...


class Guest(Permission):
    """asyncua's user, with ours. Never an administrator, so nobody writes or edits anything."""

    def __init__(self, who: User) -> None:
        super().__init__(role=UserRole.User, name=who.name or "anonymous")
        self.who = who


class Users(UserManager):
    """Hands asyncua the answer that the door gave a moment before: it asks where nothing can be awaited.

    named: whether the client gave a user name token, which is never anonymous, not even with an empty name.
    """

    named = False
    found: tuple[str, str, PublishUserSettings | None, str] | None = None

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> Permission | None:
        if not self.named:
            return Guest(User())
        if self.found is None or self.found[2] is None or self.found[:2] != (username or "", password or ""):
            return None
        return Guest(User.of(self.found[0], self.found[2], self.found[3]))


_CALLER: ContextVar[User | None] = ContextVar("caller", default=None)
"""Who sent the call that is being carried out."""


class PublishedSession(InternalSession):
    """A client's session. What it subscribes to is its own, and nobody else's."""

    host: Host
    iserver: Internals
    _entered = False
    found: tuple[str, str, PublishUserSettings | None, str] | None = None

    def __init__(self, iserver: Internals) -> None:
        super().__init__(iserver, iserver.aspace, iserver.subscription_service, "client")
        self.host = iserver.host
        # Whoever knows a session's token may take it over; asyncua counts them up.
        self.auth_token = ua.NodeId(
            ua.ByteString(secrets.token_bytes(32)), ua.Int16(0), ua.NodeIdType.ByteString
        )
        self.key = f"{iserver.session_prefix}{secrets.token_hex(8)}"
        self.external = True
        iserver.register_external_session(self)

    @property
    def who(self) -> User:
        """Who is logged in; anonymous before anybody is."""
        return self.user.who if isinstance(self.user, Guest) else User()

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        users = cast(Users, self.iserver.user_manager)
        users.named = isinstance(params.UserIdentityToken, ua.UserNameIdentityToken)
        users.found, self.found = self.found, None
        try:
            result = super().activate_session(params, peer_certificate)
        finally:
            users.named, users.found = False, None
        self._take_over(self._own())
        if self.who.may_decide:
            self._entered = True
            self.host.entered(self.who)
        elif self._entered:
            self._entered = False
            self.host.left(self.key)
        return result

    # Subscriptions: asyncua does whatever is asked of any of them, whoever asks.

    def _own(self) -> dict[int, InternalSubscription]:
        found = self.subscription_service.subscriptions
        return {number: one for number, one in found.items() if one.session_id == self.session_id}

    def _must_own(self, subscription: int) -> None:
        if subscription not in self._own():
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., Any],
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:
        wanted_ms = float(params.RequestedPublishingInterval)
        # Not a number fails every comparison, and asks for as little as 0 does.
        wanted_ms = (
            min(wanted_ms, _LONGEST_INTERVAL_MS) if wanted_ms > _LEAST_INTERVAL_MS else _LEAST_INTERVAL_MS
        )
        params.RequestedPublishingInterval = ua.Duration(wanted_ms)
        result = await super().create_subscription(params, callback, request_callback)
        self._take_over([result.SubscriptionId])
        return result

    def _take_over(self, subscriptions: Iterable[int]) -> None:
        """These belong to whoever is logged in here now."""
        found = self.subscription_service.subscriptions
        for number in subscriptions:
            if number in found:
                self.iserver.owners[found[number]] = self.who.name

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        self._must_own(params.SubscriptionId)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        self._must_own(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        self._must_own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        self._must_own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        self._must_own(params.SubscriptionId)
        return super().modify_subscription(params)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        self._must_own(params.SubscriptionId)
        return super().republish(params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        own = self._own()
        results = []
        for number in params.SubscriptionIds:
            if number in own:
                await own[number].set_publishing_mode(params.PublishingEnabled)
            results.append(_GOOD if number in own else _NO_SUBSCRIPTION)
        return results

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        results = []
        for number in ids:
            results += (
                await super().delete_subscriptions([number]) if number in self._own() else [_NO_SUBSCRIPTION]
            )
        return results

    def publish(
        self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None
    ) -> tuple[int, list[ua.StatusCode]]:
        own = self._own()
        if not own:
            raise ServiceError(StatusCodes.BadNoSubscription)
        results = []
        for ack in acks or ():
            if ack.SubscriptionId in own:
                own[ack.SubscriptionId].publish([ack.SequenceNumber])
            results.append(_GOOD if ack.SubscriptionId in own else _NO_SUBSCRIPTION)
        return len(own), results

    async def transfer_subscriptions(  # type: ignore[override]  # as asyncua's own, which serves a connection
        self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., Any]
    ) -> list[ua.TransferResult]:
        found = self.subscription_service.subscriptions
        results = []
        for number in params.SubscriptionIds:
            owner = self.iserver.owners.get(found[number], "") if number in found else self.who.name
            if number in found and not (owner and owner == self.who.name):
                results.append(ua.TransferResult(StatusCode=status(StatusCodes.BadUserAccessDenied)))
                continue
            one = ua.TransferSubscriptionsParameters([number], params.SendInitialValues)
            results += await super().transfer_subscriptions(one, callback)
            if number in found:
                # asyncua would go on answering requests of the connection that had it before.
                found[number].pub_request_callback = cast(Any, callback).__self__.get_publish_request
                self._take_over([number])
        return results

    async def close_session(self, delete_subs: bool = True) -> None:
        await super().close_session(delete_subs)
        if self._entered:
            self._entered = False
            self.host.left(self.key)

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        results = await super().read(params)
        for index, item in enumerate(params.NodesToRead):
            if item.AttributeId == AttributeIds.UserExecutable and item.NodeId in self.host.asks:
                results[index] = ua.DataValue(ua.Variant(self.who.may_decide, ua.VariantType.Boolean))
        return results

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        # Once, as it was when the request came: the session may be activated as somebody else at any time.
        who = _CALLER.get() or self.who
        results: list[ua.CallMethodResult] = []
        for request in params:
            ask = self.host.asks.get(request.MethodId)
            if ask is None:
                results += await super().call([request])
            else:
                results.append(await self.host.answer(who, ask, request))
        return results


class Internals(InternalServer):
    """Gives each client a `PublishedSession`; the server's own session stays asyncua's."""

    host: Host
    session_prefix = ""

    def __init__(self, user_manager: UserManager) -> None:
        super().__init__(user_manager=user_manager)
        self.owners: WeakKeyDictionary[InternalSubscription, str] = WeakKeyDictionary()
        """Who was logged in where a subscription belongs; empty: anonymous."""

    def create_session(
        self, name: str, user: Permission = Permission(role=UserRole.Anonymous), external: bool = False
    ) -> InternalSession:
        return PublishedSession(self)


class StrictProcessor(UaProcessor):
    """Looks at each request of a connection before asyncua does.

    asyncua takes one request of a connection after the other; a decision that waits for the database must
    not hold up the values, so calls are answered beside, a few at a time.
    """

    def __init__(self, iserver: InternalServer, transport: Any, limits: Any, host: Host) -> None:
        super().__init__(iserver, transport, limits)
        self.host = host
        self._calls: set[asyncio.Task[Any]] = set()

    async def process_message(self, seqhdr: Any, body: Any) -> Any:
        if ua.ua_binary.nodeid_from_binary(body.copy()) != _CALL:
            return await super().process_message(seqhdr, body)  # type: ignore[no-untyped-call]
        who = self.session.who if isinstance(self.session, PublishedSession) else None
        if len(self._calls) >= _MOST_CALLS:
            await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
        context = copy_context()
        context.run(_CALLER.set, who)
        work = super().process_message(seqhdr, body)  # type: ignore[no-untyped-call]
        call = asyncio.create_task(work, context=context)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return True

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        # asyncua lets everybody in without security, whatever policies are configured, because discovery
        # needs it, and then checks no rights at all.
        bare = isinstance(self._connection.security_policy, SecurityPolicyNone)
        if bare and self.host.secured and typeid not in _BEFORE_SESSION:
            raise ServiceError(StatusCodes.BadSecurityModeRejected)
        if typeid in _REGISTRATION:
            raise ServiceError(StatusCodes.BadServiceUnsupported)
        if typeid == _ACTIVATE:
            await self._identify(requesthdr, body.copy())
        former, watch = self.session, self._session_watchdog_task
        try:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]
        finally:
            if typeid == _CREATE and self.session is not former:
                await self._replace(former, watch)

    async def _replace(self, former: InternalSession | None, watch: asyncio.Task[None] | None) -> None:
        """End what a connection leaves behind when it makes another session: asyncua would keep it for ever.

        A session that somebody is logged in to ends by its own timeout, and may be taken up again until then.
        """
        if watch is not None and watch is not self._session_watchdog_task:
            watch.cancel()
        if former is not None and not former.is_activated():
            await former.close_session(True)

    async def _identify(self, requesthdr: Any, body: Buffer) -> None:
        session = self.session or self.iserver.lookup_external_session(requesthdr.AuthenticationToken)
        token = ua.ua_binary.struct_from_binary(ua.ActivateSessionParameters, body).UserIdentityToken
        if not isinstance(session, PublishedSession) or not isinstance(token, ua.UserNameIdentityToken):
            return
        try:
            name, password = self.iserver.decrypt_user_token(session, token)
        except (ValueError, UaError, TypeError, IndexError) as problem:
            raise ServiceError(StatusCodes.BadIdentityTokenInvalid) from problem
        name, password = str(name or ""), str(password or "")
        address = str(self.name[0]) if isinstance(self.name, tuple) else str(self.name)
        user = await self.host.door.identify(name, password, address)
        if user is None:
            log.warning("publish.login_refused", operator=name[:100], address=address)
        session.found = (name, password, user, session.key)


class StrictConnection(OPCUAProtocol):
    """A TCP connection whose requests go through `StrictProcessor`."""

    host: Host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.processor is not None:
            processor = StrictProcessor(self.iserver, transport, self.limits, self.host)
            processor.set_policies(self.policies)  # type: ignore[no-untyped-call]
            self.processor = processor

    def data_received(self, data: bytes) -> None:
        if len(self._buffer) + len(data) > LONGEST_MESSAGE and self.transport is not None:
            self.transport.abort()  # what asyncua has not taken by now is one message that never ends
            return
        super().data_received(data)


class Listener(BinaryServer):
    """Listens on a socket bound beforehand: a taken port is found before anything is built."""

    host: Host
    bound: socket.socket

    def _make_protocol(self) -> OPCUAProtocol:
        made = StrictConnection(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)
        made.host = self.host
        return made

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._make_protocol, sock=self.bound)
        self.cleanup_task = asyncio.create_task(self._close_task_loop())


class StrictServer(Server):
    """asyncua's server, listening where we have bound."""

    bound: socket.socket
    host: Host

    async def start(self) -> None:
        await self._setup_server_nodes()
        await self.iserver.start()
        address, port = self.bound.getsockname()[:2]
        self.bserver = listener = Listener(self.iserver, address, port, self.limits)
        listener.host = self.host
        listener.bound = self.bound
        listener.set_policies(self._policies)
        await listener.start()

    async def stop(self) -> None:
        if (clock := self.iserver.time_task) is not None:  # asyncua would wait for its next full second
            self.iserver.time_task = None
            clock.cancel()
        await super().stop()
