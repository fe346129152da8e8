"""The plant as a Sparkplug B edge node: births, reports by exception, commands, and a host to wait for if wanted.

Commands are set-points written to the same physics. Sparkplug has no answer: what was applied shows in the next data,
what was refused is left alone and logged. Of the write faults ``write_slow`` keeps back the data that would show the
write, since nothing else could tell.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Final

from simulator.equipment import PLANT
from simulator.faults import FaultRequest
from simulator.mqtt.client import Connection, Incoming, Outgoing
from simulator.mqtt.speaker import WIRE_FAULTS, Speaker
from simulator.sparkplug.session import NAMESPACE, NODE, REBIRTH, CommandRefused, EdgeSession, parse_node
from simulator.voices import PlantState, Shown
from simulator.writes import Scalar

_log = logging.getLogger(__name__)

STORM_S: Final = 0.1
WRITER: Final = "sparkplug"
"""What stands as the session in the plant's write log."""


class EdgeNode(Speaker):
    """A voice of the plant (``simulator.voices``)."""

    faults = WIRE_FAULTS | {
        "sequence_gap",
        "death_without_birth",
        "rebirth_storm",
        "alias_reuse",
        "wrong_type",
    }

    def __init__(
        self,
        state: PlantState,
        *,
        broker: str,
        name: str,
        primary_host: str = "",
        started: Callable[[], None] | None = None,
    ) -> None:
        """``name`` is GROUP/NODE. With a ``primary_host`` the node is silent until that host says it is online.

        ``ValueError`` for a broker or a name that is none.
        """
        group, node = parse_node(name)
        super().__init__(broker, client_id=f"plant-{group}-{node}", started=started)
        self._state = state
        self._session = EdgeSession(state, group, node, now_ms=lambda: time.time_ns() // 1_000_000)
        self._primary_host = primary_host
        self._host_at_ms = 0
        self._told: dict[str, Shown] = {}
        self._kept: set[str] = set()
        """Paths whose write is not yet answered."""
        self._lose_next = False
        self._feigned: set[str] = set()
        """Equipment, or the whole plant, that said it is dead and is not (``death_without_birth``)."""
        self.born = False
        """Whether the births of this connection have been sent and no death since."""

    # ── the connection (Speaker) ──────────────────────────────────────────────────────────────────────────

    def will(self) -> Outgoing:
        """The node's death."""
        return self._session.connecting()

    async def begin_session(self, connection: Connection) -> None:
        """Subscribe to commands first, then give birth, or wait for the primary host."""
        await connection.subscribe([(self._session.topic("NCMD"), 1), (self._session.topic("DCMD", "+"), 1)])
        if self._primary_host:
            await connection.subscribe([(self._state_topic, 1)])
        else:
            self._give_birth()

    def last_words(self) -> tuple[Outgoing, ...]:
        """A death, since a goodbye makes the broker forget the will."""
        return (self._session.node_death(),) if self.born else ()

    def lost(self) -> None:
        """Dead until the next birth."""
        self.born = False

    def _give_birth(self) -> None:
        if self.connection is None:
            return
        self.send_kept_back()
        for message in self._session.births():
            self.send(message)
        self._told = {path: self._state.shown(path) for path in self._all_paths()}
        self._feigned.clear()
        self.born = True

    # ── data out (Voice) ──────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Report what has changed, one message per device that has something to say."""
        if not self.born:
            return
        for device, paths in self._devices():
            changed = []
            for path in paths:
                shown = self._state.shown(path)
                told = self._told[path]
                if (shown.value != told.value or shown.good != told.good) and path not in self._kept:
                    changed.append((path, shown))
            self._report(device, changed)

    def _report(self, device: str, changed: list[tuple[str, Shown]]) -> None:
        if not changed:
            return
        self._told.update(changed)
        message = self._session.data(device, changed)
        if self._lose_next:
            self._lose_next = False
        else:
            self.send_data(message)

    def _devices(self) -> list[tuple[str, list[str]]]:
        """The node and its devices with the paths of each; equipment may be added while the plant is built."""
        devices = [(NODE, [f"{NODE}/{variable.name}" for variable in self._state.variables])]
        for equipment in self._state.equipment.values():
            devices.append(
                (equipment.name, [f"{equipment.name}/{signal.name}" for signal in equipment.signals])
            )
        return devices

    def _all_paths(self) -> list[str]:
        return [path for _, paths in self._devices() for path in paths]

    # ── messages in ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def _state_topic(self) -> str:
        return f"{NAMESPACE}/STATE/{self._primary_host}"

    def heard(self, message: Incoming) -> None:
        """A command, or the primary host's state."""
        if message.topic == self._state_topic:
            self._host_said(message.payload)
            return
        if message.retained:
            raise CommandRefused("a retained command would be carried out again at every connection")
        if not self.born:
            raise CommandRefused("no birth has been sent yet")
        device = NODE if message.topic == self._session.topic("NCMD") else message.topic.split("/")[-1]
        for wanted in self._session.command(message.payload, device):
            if isinstance(wanted, CommandRefused):
                _log.warning("%s: command refused: %s", message.topic, wanted)
            elif wanted[0] == REBIRTH:
                self._give_birth()
            else:
                self.beside(self._write(device, *wanted))

    async def _write(self, device: str, path: str, value: Scalar) -> None:
        before = self._state.shown(path)
        self._kept.add(path)
        try:
            status = await self._state.write_value(path, value, session=WRITER)
        finally:
            self._kept.discard(path)
        shown = self._state.shown(path)
        if not status.startswith("Good"):
            _log.warning("%s: command refused: %s", path, status)
        elif self.born and shown != before:
            # also when the value is what it was: who commanded it has no other answer
            self._report(device, [(path, shown)])

    def _host_said(self, payload: bytes) -> None:
        try:
            said = json.loads(payload)
            online, at_ms = said["online"], said["timestamp"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"no state of a host: {payload[:80]!r}") from error
        if not isinstance(online, bool) or not isinstance(at_ms, int):
            raise ValueError(f"no state of a host: {payload[:80]!r}")
        if at_ms < self._host_at_ms:
            return  # an old will that came late
        self._host_at_ms = at_ms
        if online and not self.born:
            self._give_birth()
        elif not online and self.born:
            self.born = False
            self.leave(self._session.node_death())

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, request: FaultRequest) -> None:
        """Let a fault begin."""
        super().begin(request)
        whole = request.equipment == PLANT
        match request.fault.name:
            case "sequence_gap":
                self._lose_next = True
            case "death_without_birth" if self.born:
                death = self._session.node_death() if whole else self._session.device_death(request.equipment)
                self.send(death)
                self._feigned.add(request.equipment)
            case "rebirth_storm":
                self.beside(self._storm(request.duration_s or 0.0))
            case "alias_reuse" if whole:
                self._session.shift += 1
                self._born_again()
            case "alias_reuse":
                self._session.sharing.add(request.equipment)
                self._born_again()
            case "wrong_type":
                self._session.wrong.add(self._main_path(request.equipment))

    def end(self, fault: str, equipment: str) -> None:
        """End a fault that lasts."""
        super().end(fault, equipment)
        match fault:
            case "death_without_birth" if equipment in self._feigned:
                self._born_again()
            case "alias_reuse":
                self._session.shift = 0 if equipment == PLANT else self._session.shift
                self._session.sharing.discard(equipment)
                self._born_again()
            case "wrong_type":
                self._session.wrong.discard(self._main_path(equipment))

    def _born_again(self) -> None:
        if self.born:
            self._give_birth()

    async def _storm(self, duration_s: float) -> None:
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._born_again()
            await asyncio.sleep(STORM_S)

    def _main_path(self, equipment: str) -> str:
        return f"{equipment}/{self._state.equipment[equipment].main_signal.name}"
