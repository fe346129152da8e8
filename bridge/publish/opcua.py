"""The published nodes as an OPC UA server: nodes, methods and events. See `opcua_sessions` for who gets in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

import structlog
from asyncua import ua
from asyncua.common.node import Node as UaNode
from asyncua.server.address_space import AttributeValue
from asyncua.server.event_generator import EventGenerator
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from bridge.certificates import application_uri, read_pair
from bridge.domain.reading import Quality
from bridge.errors import BridgeError, ConfigError, FixConfiguration, TryAgain
from bridge.ports import Clock
from bridge.publish.decisions import AGENT_NAMED, Answer, Ask, Desk, Outcome, User, decide
from bridge.publish.endpoint import bind
from bridge.publish.events import Event, EventKind
from bridge.publish.nodes import NAMESPACE, Node, NodeType, changes
from bridge.publish.opcua_sessions import (
    LONGEST_MESSAGE,
    Internals,
    StrictServer,
    Users,
    standard,
    status,
)
from bridge.publish.passwords import Door
from bridge.publish.snapshot import Feed
from bridge.settings import PublishOpcUaSettings

log = structlog.get_logger(__name__)

ROOT = "LakebaseAgent"
"""Id and name of the object below Objects that holds everything."""

DECISIONS = "Decisions"
"""Id of the object that has the methods."""

APPLICATION_URI = "urn:ignition-lakebase-bridge:agent"

_YIELD_AFTER = 100  # nodes; the agent's own tasks run in the same loop
_MOST_CONNECTIONS = 100
_SESSIONS_S = 5.0  # how long closing may wait for the database
_AGAIN_S = 1.0  # between two attempts to write down who comes and goes, while the database is away
_MOST_SUBSCRIPTIONS = 200
_MOST_UNACKNOWLEDGED = 100  # messages of one subscription that can be asked for again

_NO_TIME = datetime(1601, 1, 1, tzinfo=UTC)  # OPC UA's own way to say that there is none
_POLICIES = {
    "none": ua.SecurityPolicyType.NoSecurity,
    "Basic256Sha256": ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    "Aes128Sha256RsaOaep": ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    "Aes256Sha256RsaPss": ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
}
_TYPES = {kind: ua.VariantType[kind.value] for kind in NodeType}
_UNIT_CODES = {"s": "SEC", "ms": "C26"}  # UN/CEFACT

_CODES = {
    Answer.DONE: StatusCodes.Good,
    Answer.NOT_PERMITTED: StatusCodes.BadUserAccessDenied,
    Answer.NOT_FOUND: StatusCodes.BadNotFound,
    Answer.NOT_OPEN: StatusCodes.BadInvalidState,
    Answer.STALE_DIGEST: StatusCodes.BadNoMatch,
    Answer.REASON_MISSING: StatusCodes.BadInvalidArgument,
    Answer.WRONG_ARGUMENT: StatusCodes.BadInvalidArgument,
    Answer.REFUSED: StatusCodes.BadRequestNotAllowed,
    Answer.DATABASE_AWAY: StatusCodes.BadResourceUnavailable,
    Answer.NOT_CONFIGURED: StatusCodes.BadConfigurationError,
}
_ARGUMENTS = {
    Ask.APPROVE: (
        ("Id", ua.VariantType.String, "The recommendation"),
        ("Digest", ua.VariantType.String, "Its Digest as it was shown: the decision is on these writes"),
        ("Comment", ua.VariantType.String, "Why; may be empty"),
    ),
    Ask.REJECT: (
        ("Id", ua.VariantType.String, "The recommendation"),
        ("Digest", ua.VariantType.String, "Its Digest as it was shown"),
        ("Reason", ua.VariantType.String, "Why; not empty"),
    ),
    Ask.DEFER: (
        ("Id", ua.VariantType.String, "The recommendation"),
        ("Digest", ua.VariantType.String, "Its Digest as it was shown"),
        ("Minutes", ua.VariantType.Double, "For how long, up to 1440"),
    ),
}
_RESULTS = (
    ("Result", "done, or why not, in one word"),
    ("Status", "Status of the recommendation afterwards; empty unless done"),
    ("Message", "The same for a person"),
)


_GOOD = status(StatusCodes.Good)


class _Value(ua.DataValue):
    """A value that nobody changes: asyncua would copy it in depth for each monitored item."""

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Value:
        return self


def _data_value(node: Node, now: datetime) -> _Value:
    variant = ua.Variant(_NO_TIME if node.value is None else node.value, _TYPES[node.type])
    if node.quality is Quality.GOOD:
        code = StatusCodes.Good
    elif node.quality is Quality.UNCERTAIN:
        code = StatusCodes.UncertainLastUsableValue
    else:
        never = node.source_time_utc is None
        code = StatusCodes.BadWaitingForInitialData if never else StatusCodes.BadNoData
        variant = ua.Variant()
    # asyncua's own DateTime is a mere marker for datetime
    source = cast("ua.DateTime", node.source_time_utc or now)
    return _Value(variant, status(code), source, cast("ua.DateTime", now))


class PublishedServer:
    """The server as one task of the bridge: shows what a feed says, and takes decisions for a desk."""

    def __init__(
        self, settings: PublishOpcUaSettings, feed: Feed, desk: Desk | None, clock: Clock, *, agent_id: str
    ) -> None:
        """`desk`: with the operator's login; None only when no user has the role operator.

        ConfigError when a user has the agent's name, or a password hash is none.
        """
        agents = [name for name in settings.users if name.strip().casefold() == agent_id.strip().casefold()]
        if agents:
            raise ConfigError([f"publish.opcua.users.{agents[0]}: {AGENT_NAMED}"])
        self._settings = settings
        self._feed = feed
        self._desk = desk
        self._clock = clock
        self._prefix = f"opcua {quote(agent_id, safe='')} "  # of our sessions' ids, and of no other agent's
        self.secured = settings.security != "none"
        self.door = Door(settings.users, clock)
        self.asks: dict[ua.NodeId, Ask] = {}
        self._shown: dict[str, Node] = {}
        self._slots: dict[str, AttributeValue] = {}
        self._visits: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def run(self, works: Callable[[], None] = lambda: None) -> None:
        """Serve until cancelled. FixConfiguration when the port is taken or a certificate is not readable."""
        bound = bind(self._settings.endpoint)
        try:
            server = await self._build(bound)
        except BaseException:
            bound.close()
            raise
        keeping = asyncio.create_task(self._keep_sessions())
        try:
            await server.start()
            log.info("publish.opcua_started", endpoint=self._settings.endpoint, nodes=len(self._slots))
            while True:
                works()
                await self.show(*await self._feed.take())
        finally:
            keeping.cancel()
            await server.stop()
            bound.close()
            await self._forget_sessions()

    async def _build(self, bound: socket.socket) -> StrictServer:
        """Everything that there is before the first client, filled with what is known now."""
        internals = Internals(user_manager=Users())
        internals.host = self
        internals.session_prefix = self._prefix
        internals.allow_remote_admin = False
        internals.max_connections = _MOST_CONNECTIONS
        internals.max_subscriptions = _MOST_SUBSCRIPTIONS
        internals.max_unacked_messages_per_subscription = _MOST_UNACKNOWLEDGED
        self._feed.again()
        server = self._server = StrictServer(iserver=internals)
        server.host, server.bound = self, bound
        server.limits.max_message_size = LONGEST_MESSAGE
        await server.init()
        server.set_server_name("Ignition Lakebase bridge")
        server.set_endpoint(self._settings.endpoint)
        await self._secure(server)
        self._space = await server.register_namespace(NAMESPACE)
        self._shown, self._slots, self.asks = {}, {}, {}
        self._folders = {"": self._add_folder(standard(ObjectIds.ObjectsFolder), ROOT, ROOT)}
        await self._add_methods(server)
        self._events = {kind: await self._add_event(server, kind) for kind in EventKind}
        await self.show(*await self._feed.take())
        return server

    async def _secure(self, server: StrictServer) -> None:
        settings = self._settings
        uri = APPLICATION_URI
        if settings.certificate is not None and settings.private_key is not None:
            certificate, key = read_pair(settings.certificate, settings.private_key)
            uri = application_uri(certificate, settings.certificate)
            server.iserver.certificate, server.iserver.private_key = certificate, key
        tokens: list[type] = [ua.AnonymousIdentityToken] if settings.anonymous else []
        tokens += [ua.UserNameIdentityToken] if settings.users else []
        if not tokens:
            raise FixConfiguration("publish.opcua: nobody may log in; name users, or set anonymous = true")
        server.set_security_policy([_POLICIES[settings.security]])
        server.set_identity_tokens(tokens)
        await server.set_application_uri(uri)

    # The address space

    async def show(self, shown: Mapping[str, Node], happened: Sequence[Event]) -> None:
        """Show what differs from what was shown before, and tell what happened."""
        now = self._clock.now_utc()
        for number, (path, node) in enumerate(changes(self._shown, shown).items(), start=1):
            slot = self._slots.get(path)
            value = _data_value(node, now)
            if slot is None:
                self._slots[path] = self._add_variable(path, node, value)
            else:
                slot.value = value
                for handle, notify in tuple(slot.datachange_callbacks.items()):
                    await notify(handle, value)
            if number % _YIELD_AFTER == 0:
                await asyncio.sleep(0)
        self._shown = dict(shown)
        for event in happened:
            await self._tell(event)

    def _id(self, path: str) -> ua.NodeId:
        return ua.NodeId(ua.String(path), ua.Int16(self._space))

    def _folder(self, path: str) -> ua.NodeId:
        """The object with this path, made with all above it if it is not there yet."""
        if path not in self._folders:
            above, _, name = path.rpartition("/")
            self._folders[path] = self._add_folder(self._folder(above), path, name)
        return self._folders[path]

    def _add_folder(self, parent: ua.NodeId, path: str, name: str) -> ua.NodeId:
        attributes = ua.ObjectAttributes(DisplayName=ua.LocalizedText(name), EventNotifier=ua.Byte(0))
        return self._add(parent, path, name, ua.NodeClass.Object, attributes, ObjectIds.BaseObjectType)

    def _add_variable(self, path: str, node: Node, value: ua.DataValue) -> AttributeValue:
        folder, _, name = path.rpartition("/")
        attributes = _variable(_TYPES[node.type].value, ua.Variant(), name, node.description)
        kind = ObjectIds.BaseAnalogType if node.unit else ObjectIds.BaseDataVariableType
        made = self._add(self._folder(folder), path, name, ua.NodeClass.Variable, attributes, kind)
        if node.unit:
            code = int.from_bytes(_UNIT_CODES[node.unit].encode("ascii"), "big")
            text = ua.LocalizedText(node.unit)
            unit = ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", code, text, text)
            about = _variable(
                ObjectIds.EUInformation,
                ua.Variant(unit, ua.VariantType.ExtensionObject),
                "EngineeringUnits",
                "",
            )
            self._add(
                made, f"{path}.EngineeringUnits", "EngineeringUnits", ua.NodeClass.Variable, about, None
            )
        slot = AttributeValue(value)
        self._server.iserver.aspace[made].attributes[AttributeIds.Value] = slot
        return slot

    def _add(
        self,
        parent: ua.NodeId,
        path: str,
        name: str,
        node_class: ua.NodeClass,
        attributes: Any,
        kind: int | None,
    ) -> ua.NodeId:
        is_property = kind is None
        item = ua.AddNodesItem(
            ParentNodeId=parent,
            ReferenceTypeId=standard(ObjectIds.HasProperty if is_property else ObjectIds.HasComponent),
            RequestedNewNodeId=self._id(path),
            BrowseName=ua.QualifiedName(name, ua.UInt16(0 if is_property else self._space)),
            NodeClass=node_class,
            NodeAttributes=attributes,
            TypeDefinition=standard(ObjectIds.PropertyType if kind is None else kind),
        )
        result = self._server.iserver.node_mgt_service.add_nodes([item])[0]
        result.StatusCode.check()
        return cast(ua.NodeId, result.AddedNodeId)

    # Methods

    async def _add_methods(self, server: StrictServer) -> None:
        parent = server.get_node(self._folder(DECISIONS))
        outputs = [_argument(name, ua.VariantType.String, what) for name, what in _RESULTS]
        for ask, arguments in _ARGUMENTS.items():
            made = await parent.add_method(
                self._id(f"{DECISIONS}/{ask}"),
                ua.QualifiedName(ask.value, ua.UInt16(self._space)),
                _by_nobody,
                [_argument(*argument) for argument in arguments],
                outputs,
            )
            self.asks[made.nodeid] = ask

    async def answer(self, user: User, ask: Ask, request: ua.CallMethodRequest) -> ua.CallMethodResult:
        """One call of a client's: checked by form, decided in the name of the session's user, and put in words."""
        result = ua.CallMethodResult()
        given = list(request.InputArguments or [])
        wanted = _ARGUMENTS[ask]
        if request.ObjectId != self._id(DECISIONS):
            result.StatusCode = status(StatusCodes.BadMethodInvalid)
            return result
        # Who may not call a method is not told what its arguments should have been.
        if user.may_decide and len(given) != len(wanted):
            few = len(given) < len(wanted)
            result.StatusCode = status(
                StatusCodes.BadArgumentsMissing if few else StatusCodes.BadTooManyArguments
            )
            return result
        result.InputArgumentResults = [_GOOD for _ in given]
        if user.may_decide:
            for index, (variant, (_, data_type, _)) in enumerate(zip(given, wanted, strict=True)):
                empty = variant.Value is None and data_type != ua.VariantType.String
                if variant.is_array or variant.VariantType != data_type or empty:
                    result.StatusCode = status(StatusCodes.BadInvalidArgument)
                    result.InputArgumentResults[index] = status(StatusCodes.BadTypeMismatch)
            if not result.StatusCode.is_good():
                return result
        # A null text is OPC UA's other way to write an empty one.
        values = ["" if variant.Value is None else variant.Value for variant in given]
        outcome = await decide(self._desk, user, ask, values)
        return _in_words(result, outcome)

    # Events

    async def _add_event(self, server: StrictServer, kind: EventKind) -> EventGenerator:
        made: UaNode = await server.create_custom_event_type(
            self._space,
            f"{kind.value}EventType",
            ObjectIds.BaseEventType,
            [
                (name, ua.VariantType.String)
                for name in ("ObjectId", "RecommendationId", "EquipmentId", "Outcome")
            ],
        )
        return await server.get_event_generator(made, ObjectIds.Server)

    async def _tell(self, event: Event) -> None:
        generator = self._events[event.kind]
        told = generator.event
        told.Severity = event.level
        told.SourceName = event.equipment_id
        told.SourceNode = self._id(event.source)
        told.ObjectId = event.object_id
        told.RecommendationId = event.recommendation_id
        told.EquipmentId = event.equipment_id
        told.Outcome = event.outcome
        await generator.trigger(event.at_utc, event.message)

    # Who is there

    def entered(self, user: User) -> None:
        """Somebody who may decide has logged in; recorded beside the work."""
        self._visits.put_nowait((user.session, user.name))

    def left(self, session: str) -> None:
        """Whoever was logged in in this session is gone."""
        self._visits.put_nowait((session, ""))

    async def _keep_sessions(self) -> None:
        """Write down who comes and goes, one after the other. A decision never waits for it."""
        await self._forget_sessions()
        while self._desk is not None:
            await self._record(self._desk, *await self._visits.get())

    async def _record(self, desk: Desk, session: str, name: str) -> None:
        """Write one of them down; while the database is away, again and again: nobody stays logged in by that."""
        told = False
        while True:
            try:
                if name:
                    await desk.open_session(session, operator=name)
                else:
                    await desk.close_session(session)
                return
            except BridgeError as problem:
                if not told:
                    log.warning("publish.session_not_recorded", operator=name, reason=str(problem))
                told = True
                if not isinstance(problem, TryAgain):
                    return
            await asyncio.sleep(_AGAIN_S)

    async def _forget_sessions(self) -> None:
        """Nobody is logged in at a server that is starting or has ended."""
        if self._desk is None:
            return
        try:
            async with asyncio.timeout(_SESSIONS_S):
                await self._desk.close_left_behind(self._prefix)
        except (BridgeError, TimeoutError) as problem:
            log.warning("publish.sessions_left_open", reason=str(problem))


async def _by_nobody(_parent: ua.NodeId, *_given: ua.Variant) -> ua.StatusCode:
    """What asyncua would call for a method of ours; clients' calls are taken before, with their user."""
    return status(StatusCodes.BadUserAccessDenied)


def _in_words(result: ua.CallMethodResult, outcome: Outcome) -> ua.CallMethodResult:
    result.StatusCode = status(_CODES[outcome.answer])
    if outcome.argument >= 0:
        result.InputArgumentResults[outcome.argument] = status(StatusCodes.BadInvalidArgument)
    words = (outcome.answer.value, outcome.status, outcome.message)
    result.OutputArguments = [ua.Variant(word, ua.VariantType.String) for word in words]
    return result


def _argument(name: str, data_type: ua.VariantType, what: str) -> ua.Argument:
    return ua.Argument(
        Name=ua.String(name),
        DataType=standard(data_type.value),
        ValueRank=ua.Int32(-1),
        Description=ua.LocalizedText(what),
    )


def _variable(data_type: int, value: ua.Variant, name: str, description: str) -> ua.VariableAttributes:
    read = ua.Byte(ua.AccessLevel.CurrentRead.mask)
    return ua.VariableAttributes(
        DisplayName=ua.LocalizedText(name),
        Description=ua.LocalizedText(description),
        Value=value,
        DataType=standard(data_type),
        ValueRank=ua.Int32(-1),
        AccessLevel=read,
        UserAccessLevel=read,
        MinimumSamplingInterval=ua.Double(0.0),
    )
