"""What asyncua's server does differently here: who gets in, how writes are answered, how it listens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, Protocol

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.uaprocessor import UaProcessor
from asyncua.server.user_managers import UserManager
from asyncua.ua.object_ids import ObjectIds

from simulator.opcua.nodes import standard
from simulator.opcua.standard_space import WarmServer
from simulator.writes import WritePolicy


class Host(Protocol):
    """What sessions and connections ask of the server they belong to."""

    policy: WritePolicy
    items_created: asyncio.Event

    async def write(self, item: ua.WriteValue, *, session: str, user: str) -> ua.StatusCode: ...
    def run_beside(self, work: Coroutine[Any, Any, Any]) -> None: ...


class OneUser(UserManager):
    """Lets in the one user, or everybody. Nobody is an administrator, so nobody edits the address space."""

    def __init__(self, user: tuple[str, str] | None) -> None:
        self._user = user

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        if self._user is not None and (username, password) != self._user:
            return None
        return User(role=UserRole.User, name=username or "anonymous")


class PlantSession(InternalSession):
    """A client's session whose writes pass the plant's checks before anything is stored."""

    host: Host
    client_name = ""

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
    ) -> ua.CreateSessionResult:
        self.client_name = str(params.SessionName or "")
        return await super().create_session(params, sockname)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        user = self.user.name or "anonymous"
        return [
            await self.host.write(item, session=self.client_name, user=user) for item in params.NodesToWrite
        ]

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        for item in params.ItemsToCreate:
            # asyncua would give 10,000 to a client that asks for none; most controllers give one
            if item.RequestedParameters.QueueSize == 0:
                item.RequestedParameters.QueueSize = ua.Counter(1)
        results = await super().create_monitored_items(params)
        self.host.items_created.set()
        return results


class PlantInternals(WarmServer):
    """Gives each client a ``PlantSession``; the server's own session stays asyncua's."""

    host: Host

    def create_session(
        self, name: str, user: User = User(role=UserRole.Anonymous), external: bool = False
    ) -> InternalSession:
        session = PlantSession(
            self, self.aspace, self.subscription_service, name, user=user, external=external
        )
        session.host = self.host
        return session


class PlantProcessor(UaProcessor):
    """Answers reads and publish requests while a slow write of the same connection is under way.

    asyncua takes one request of a connection after the other; a real device would not keep a read waiting
    for eight seconds behind a write.
    """

    host: Host
    _write_id = standard(ObjectIds.WriteRequest_Encoding_DefaultBinary)

    async def process_message(self, seqhdr: Any, body: Any) -> Any:
        work = super().process_message(seqhdr, body)  # type: ignore[no-untyped-call]  # asyncua has no types here
        if self.host.policy.slow() and ua.ua_binary.nodeid_from_binary(body.copy()) == self._write_id:
            self.host.run_beside(work)
            return True
        return await work


class PlantConnection(OPCUAProtocol):
    """A TCP connection whose requests go through ``PlantProcessor``."""

    host: Host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.processor is not None:
            processor = PlantProcessor(self.iserver, transport, self.limits)
            processor.host = self.host
            processor.set_policies(self.policies)  # type: ignore[no-untyped-call]  # same
            self.processor = processor


class Listener(BinaryServer):
    """Listens on a socket bound beforehand.

    So a taken port is found before anything is built, and nobody can connect before everything is.
    """

    host: Host
    bound: socket.socket

    def _make_protocol(self) -> OPCUAProtocol:
        connection = PlantConnection(
            self.iserver, self._policies, self.clients, self.closing_tasks, self.limits
        )
        connection.host = self.host
        return connection

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._make_protocol, sock=self.bound)
        self.cleanup_task = asyncio.create_task(self._close_task_loop())
