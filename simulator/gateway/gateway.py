"""The gateway whole: project, tags, plant, scripts and exposed tags at work together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator.gateway.faults import Faults
from simulator.gateway.perspective.security import DEMO_USERS, User
from simulator.gateway.project import Project, Timer
from simulator.gateway.qualities import QualifiedValue, to_opc
from simulator.gateway.scripting import Machine, Refused, ScriptHost
from simulator.gateway.tag_file import Tag
from simulator.gateway.tags import DEFAULT_GROUPS, TagError, TagStore
from simulator.gateway.values import epoch_ms, from_line, to_line
from simulator.opcua.device import Device
from simulator.opcua.exposed import ExposedTags
from simulator.opcua.nodes import NodeSlot
from simulator.writes import Scalar

if TYPE_CHECKING:
    from simulator.gateway.perspective.preview import Preview
    from simulator.gateway.perspective.server import PreviewServer

_log = logging.getLogger("gateway")
_SETTLE_S = 5.0
DEFAULT_PLANT = "Plant"


class GatewayError(Exception):
    """The gateway cannot be started as asked."""


@dataclass(frozen=True, kw_only=True)
class GatewayOptions:
    """What a gateway is made of, checked and read."""

    project: Project
    tags: Mapping[str, Tag]
    databases: Mapping[str, str]
    target: str = "8.3"
    plant: str | None = None
    """Endpoint of the OPC connection that ``devices`` does not name: `Plant`, or the only other one."""
    devices: Mapping[str, str] = field(default_factory=dict)
    """Endpoints of OPC connections by the names that tags have for them."""
    opcua_port: int = 0
    tag_groups: Mapping[str, int] = field(default_factory=dict)
    hold_timers: bool = False
    machine: Machine = field(default_factory=Machine)
    faults: tuple[str, ...] = ()
    hmi_port: int | None = None
    """Where the browser preview listens, 0 for any free port; None serves no preview."""
    users: tuple[User, ...] = DEMO_USERS


class Gateway:
    """``open`` it, ``run`` it in a task, ``close`` it."""

    def __init__(self, options: GatewayOptions) -> None:
        self.options = options
        self.faults = Faults()
        self.store = TagStore(
            options.tags, groups={**DEFAULT_GROUPS, **options.tag_groups}, faults=self.faults
        )
        self.scripts = ScriptHost(
            options.project,
            target=options.target,
            databases=options.databases,
            hold_timers=options.hold_timers,
            machine=options.machine,
            answer=self._answer,
        )
        self.server = ExposedTags(self._client_writes)
        self.preview: Preview | None = None
        self.hmi: PreviewServer | None = None
        self.hmi_address = ""
        if options.hmi_port is not None:
            # Takes its time to import, and every plant, whose command line is the same, does without.
            from simulator.gateway.perspective.preview import Preview
            from simulator.gateway.perspective.scripts import ScriptAsks
            from simulator.gateway.perspective.server import PreviewServer

            self.preview = Preview(options.project, self.store, self.scripts, users=options.users)
            self.hmi = PreviewServer(self.preview, port=options.hmi_port)
            self.scripts.perspective = ScriptAsks(self.preview)
        self._slots: dict[str, NodeSlot] = {}
        self._changes: asyncio.Queue[tuple[str, QualifiedValue]] = asyncio.Queue()
        unwatched = sum(1 for tag in options.tags.values() if tag.alarms or tag.history)
        if unwatched:
            _log.info("%d tags have alarms or history; the stand-in keeps neither", unwatched)
        self.devices = self._connect(endpoints(options))
        for text in options.faults:
            self.begin_fault(text)

    def _connect(self, endpoints: Mapping[str, str]) -> list[Device]:
        """A device for each OPC connection; tags that name none of them are bad from the start."""
        devices = []
        for name, connection in self.store.connections.items():
            if name in endpoints:
                device = Device(endpoints[name], connection.items(), connection)
                connection.writer = device
                devices.append(device)
            else:
                _log.warning(
                    "%d OPC items are of a connection '%s' that is not there; give --device '%s=ENDPOINT'",
                    len(connection.paths),
                    name,
                    name,
                )
                connection.absent()
        return devices

    async def open(self) -> str:
        """Bind the ports and lay out the tags; gives the OPC UA endpoint."""
        if self.hmi is not None:
            self.hmi_address = self.hmi.open()
        endpoint = await self.server.open(f"opc.tcp://127.0.0.1:{self.options.opcua_port}")
        for tag in self.options.tags.values():
            writable = not tag.read_only and tag.source != "expr"
            self._slots[tag.path] = self.server.add_tag(tag.path, tag.data_type, writable=writable)
        return endpoint

    async def run(self, ready: asyncio.Event) -> None:
        """Everything at once until cancelled; ``ready`` is set when scripts run and tags have shown a value."""
        async with asyncio.TaskGroup() as group:
            for device in self.devices:
                group.create_task(device.run(), name=f"device {device.endpoint}")
            group.create_task(self.scripts.run(), name="scripts")
            await self._wait_for_first_values()
            for path in self._slots:
                await self._show(path, self.store.read(path))
            self.store.listeners.append(lambda path, value: self._changes.put_nowait((path, value)))
            await self.server.start()
            group.create_task(self._publish(), name="exposed tags")
            group.create_task(self.store.run_fixed_rates(), name="fixed rates")
            await self.scripts.ready.wait()
            if self.hmi is not None:
                group.create_task(self.hmi.run(), name="perspective")
            ready.set()

    async def close(self) -> None:
        """Close the ports and all connections to them."""
        if self.preview is not None and self.hmi is not None:
            await self.preview.close()
            await self.hmi.close()
        await self.server.stop()

    async def _wait_for_first_values(self) -> None:
        try:
            async with asyncio.timeout(_SETTLE_S):
                for device in self.devices:
                    await device.settled.wait()
        except TimeoutError:
            _log.warning("not every OPC tag has shown a value after %g s; going on without", _SETTLE_S)

    # ── exposed tags ──────────────────────────────────────────────────────────────────────────────────────

    async def _publish(self) -> None:
        while True:
            await self._show(*await self._changes.get())

    async def _show(self, path: str, value: QualifiedValue) -> None:
        await self.server.show(self._slots[path], value.value, to_opc(value.quality), value.at_utc)

    async def _client_writes(self, path: str, value: Scalar) -> str:
        return to_opc((await self.store.write([(path, value)], from_client=True))[0])

    # ── what scripts ask ──────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, message: dict[str, Any]) -> Any:
        if "message" in message:
            return self._message(message)
        try:
            if message["ask"] == "read":
                return [_line(self.store.read(path)) for path in message["paths"]]
            return await self._write(message)
        except TagError as error:
            raise Refused(str(error)) from error

    async def _write(self, message: dict[str, Any]) -> list[tuple[str, str]]:
        if self.faults.once("kill_script_before_write"):
            self.scripts.kill()
            raise Refused("killed by a fault")
        values = map(from_line, message["values"])
        qualities = await self.store.write(list(zip(message["paths"], values, strict=True)))
        if self.faults.once("kill_script_after_write"):
            _log.warning("fault: the JVM is killed between write and answer")
            self.scripts.kill()
        if self.faults.once("jdbc_down_after_write"):
            _log.warning("fault: the database goes between write and answer")
            self.begin_fault("jdbc_down")
        return [(quality.name, quality.diagnostic) for quality in qualities]

    def _message(self, message: dict[str, Any]) -> None:
        _log.info(
            "message %s to %s, scope %s: %s",
            message["message"],
            message["project"],
            message["scope"],
            message["payload"],
        )
        if "G" in message["scope"] and message["project"] == self.options.project.name:
            self.scripts.deliver(message["message"], message["payload"])
        if "S" in message["scope"] and message["project"] == self.options.project.name and self.preview:
            self.preview.deliver(message["message"], message["payload"])

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────

    def begin_fault(self, text: str) -> None:
        """Let a fault begin. Raises ``FaultError``."""
        name = self.faults.begin(text)
        if name == "jdbc_down":
            self.scripts.set_jdbc(up=False)
        elif name == "tag_stale":
            self.store.fault_changed()

    def clear_fault(self, text: str) -> None:
        """End a fault. Raises ``FaultError``."""
        name = self.faults.clear(text)
        if name == "jdbc_down":
            self.scripts.set_jdbc(up=True)
        elif name == "tag_stale":
            self.store.fault_changed()


def endpoints(options: GatewayOptions) -> dict[str, str]:
    """OPC connections by name. Raises ``GatewayError`` for one that no tag names, or a plant that is unclear."""
    named = {tag.opc_server for tag in options.tags.values() if tag.source == "opc"}
    idle = sorted(set(options.devices) - named)
    if idle:
        known = ", ".join(sorted(named)) or "none"
        raise GatewayError(f"--device {', '.join(idle)}: no tag is of such an OPC server; tags name {known}")
    if options.plant is None:
        return dict(options.devices)
    others = named - set(options.devices)
    if DEFAULT_PLANT not in others and len(others) > 1:
        raise GatewayError(
            f"the tags name {len(others)} OPC servers ({', '.join(sorted(others))}), and --plant is one of them; "
            "give --device NAME=ENDPOINT for each"
        )
    name = DEFAULT_PLANT if DEFAULT_PLANT in others or not others else others.pop()
    return {**options.devices, name: options.plant}


def timer_8_1(text: str) -> Timer:
    """A timer as an 8.1 integrator makes it in the Designer: ``NAME DELAY_MS BODY``. Raises ``GatewayError``."""
    name, _, rest = text.strip().partition(" ")
    delay, _, body = rest.strip().partition(" ")
    if not delay.isdigit() or int(delay) == 0 or not body.strip():
        raise GatewayError(f"--timer wants 'NAME DELAY_MS BODY', found {text!r}")
    return Timer(
        name=name,
        path=f"timer {name}",
        code=f"def handleTimerEvent():\n\t{body.strip()}\n",
        function="handleTimerEvent",
        delay_ms=int(delay),
        fixed_delay=True,
        shared_thread=False,
    )


def _line(value: QualifiedValue) -> tuple[Any, str, str, int]:
    quality = value.quality
    return to_line(value.value), quality.name, quality.diagnostic, epoch_ms(value.at_utc)


def database_names(project: Project) -> set[str]:
    """The connections the project's queries name."""
    return {query.database for query in project.queries.values()} - {"{}"}
