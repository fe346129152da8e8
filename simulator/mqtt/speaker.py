"""Who speaks MQTT for the plant: keeps one connection, begins anew after each loss, and carries the wire's faults."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Final

from simulator.faults import FaultRequest
from simulator.mqtt.client import BrokerRefused, Connection, Incoming, Outgoing, broker_address

_log = logging.getLogger(__name__)
_RETRY_S: Final = 0.5

WIRE_FAULTS: Final = frozenset({"duplicate_messages", "reorder_messages", "slow_consumer", "broker_restart"})


class Speaker(ABC):
    """``run`` until cancelled. ``started`` is called once, when the broker is reached for the first time."""

    faults: frozenset[str] = WIRE_FAULTS

    def __init__(self, broker: str, *, client_id: str, started: Callable[[], None] | None = None) -> None:
        """``broker`` is ``mqtt://HOST[:PORT]``; ``ValueError`` if it is something else."""
        broker_address(broker)
        self.broker = broker
        self._client_id = client_id
        self._started = started
        self._away_s = _RETRY_S
        self._meant = False
        self._duplicate = False
        self._reorder = False
        self._kept_back: Outgoing | None = None
        self._beside: set[asyncio.Task[Any]] = set()
        self.connection: Connection | None = None
        """The connection while there is one."""

    async def run(self) -> None:
        """Speak until cancelled, then take leave."""
        told = False  # one line when the broker goes, one when it is back
        while True:
            connection = Connection(
                self.broker, client_id=self._client_id, heard=self._heard, will=self.will()
            )
            try:
                await connection.open()
                self.connection = connection
                await self.begin_session(connection)
                if told:
                    _log.warning("%s: the broker at %s is back", self._client_id, self.broker)
                told = False
                if self._started is not None:
                    self._started()
                    self._started = None
                await connection.lost.wait()
                raise ConnectionResetError("the connection is lost")
            except (OSError, TimeoutError, BrokerRefused) as error:
                connection.drop()
                if not told and not self._meant:
                    reason = str(error) or type(error).__name__
                    _log.warning("%s: no broker at %s: %s", self._client_id, self.broker, reason)
                    told = True
                self._meant = False
            except asyncio.CancelledError:
                self.connection = None
                await connection.close(*self.last_words())
                raise
            self.connection, self._kept_back = None, None
            self.lost()
            await asyncio.sleep(self._away_s)
            self._away_s = _RETRY_S

    def leave(self, *last: Outgoing) -> None:
        """Say the last words and goodbye, and come back after a moment."""
        if self.connection is not None:
            self._meant = True
            self.beside(self.connection.close(*last))

    async def close(self) -> None:
        """End what still runs beside."""
        for task in self._beside:
            task.cancel()

    # ── what each speaker says in its own words ───────────────────────────────────────────────────────────

    @abstractmethod
    def will(self) -> Outgoing | None:
        """What the broker says for us if we vanish; asked before each connection."""

    @abstractmethod
    async def begin_session(self, connection: Connection) -> None:
        """Subscribe and say what has to be said first."""

    @abstractmethod
    def heard(self, message: Incoming) -> None:
        """Take a message in."""

    @abstractmethod
    def last_words(self) -> tuple[Outgoing, ...]:
        """What to say before a goodbye."""

    def lost(self) -> None:
        """The connection is gone."""
        return

    # ── data out ──────────────────────────────────────────────────────────────────────────────────────────

    def send(self, message: Outgoing) -> None:
        """Send as it is."""
        if self.connection is not None:
            self.connection.publish(message)

    def send_data(self, message: Outgoing) -> None:
        """Send a message with values: twice, or after the one that follows it, where a fault says so."""
        if self._reorder and self._kept_back is None:
            self._kept_back = message
            return
        earlier, self._kept_back = self._kept_back, None
        for one in (message, earlier):
            if one is not None:
                self.send(one)
                if self._duplicate:
                    self.send(one)

    def send_kept_back(self) -> None:
        """Let go of what waits to be overtaken."""
        if self._kept_back is not None:
            self.send(self._kept_back)
            self._kept_back = None

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that takes its time without holding up the connection."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _heard(self, message: Incoming) -> None:
        try:
            self.heard(message)
        except ValueError as error:
            _log.warning("%s: %s refused: %s", self._client_id, message.topic, error)

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, request: FaultRequest) -> None:
        """Let a fault begin."""
        duration_s = request.duration_s or 0.0
        match request.fault.name:
            case "duplicate_messages":
                self._duplicate = True
            case "reorder_messages":
                self._reorder = True
            case "broker_restart" if self.connection is not None:
                self._away_s, self._meant = duration_s, True
                self.connection.drop()
            case "slow_consumer" if self.connection is not None:
                self.connection.read(False)
                self.beside(self._read_again(self.connection, duration_s))

    def end(self, fault: str, equipment: str) -> None:
        """End a fault that lasts."""
        if fault == "duplicate_messages":
            self._duplicate = False
        elif fault == "reorder_messages":
            self._reorder = False
            self.send_kept_back()

    async def _read_again(self, connection: Connection, after_s: float) -> None:
        await asyncio.sleep(after_s)
        connection.read(True)
