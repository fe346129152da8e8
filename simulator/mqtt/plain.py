"""The plant on plain topics: ``PREFIX/EQUIPMENT/Signal``, each tick, as JSON.

A value is ``{"value": 74.9, "timestamp": "2026-01-01T00:00:00+00:00", "quality": "good"}``, with ``null`` and
``bad`` where there is none; QoS 1, not retained. Measured signals are told when they were measured, the others each
tick. A set-point is written on ``…/set`` with ``{"id": …, "value": …, "timestamp": …}`` and answered on
``…/confirmed`` with ``{"id": …, "value": …, "status": "ok"}``, or the reason in the place of ``ok``. ``id`` is whatever
the writer likes and ``value`` what was asked for: as with a real device the topic itself says what holds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from simulator.equipment import Equipment, Signal
from simulator.faults import FaultRequest
from simulator.mqtt.client import Connection, Incoming, Outgoing
from simulator.mqtt.speaker import WIRE_FAULTS, Speaker
from simulator.voices import PlantState, Shown
from simulator.writes import Scalar

_log = logging.getLogger(__name__)

WRITER: Final = "mqtt"
"""What stands as the session in the plant's write log."""


class PlainTopics(Speaker):
    """A voice of the plant (``simulator.voices``)."""

    faults = WIRE_FAULTS | {"wrong_type"}

    def __init__(
        self, state: PlantState, *, broker: str, prefix: str, started: Callable[[], None] | None = None
    ) -> None:
        """``ValueError`` for a broker or a prefix that is none."""
        if not prefix or set(prefix) & set("+#\0") or prefix.startswith(("/", "$")) or prefix.endswith("/"):
            raise ValueError(f"a prefix such as plant or site/plant was expected, found {prefix!r}")
        super().__init__(broker, client_id=f"plant-{prefix.replace('/', '-')}", started=started)
        self._state = state
        self._prefix = prefix
        self._told: dict[str, datetime] = {}
        self._wrong: set[str] = set()

    # ── the connection (Speaker) ──────────────────────────────────────────────────────────────────────────

    def will(self) -> None:
        """Plain devices leave none."""
        return

    async def begin_session(self, connection: Connection) -> None:
        """Listen for set-points."""
        await connection.subscribe([(f"{self._prefix}/+/+/set", 1)])
        self._told.clear()
        self.tick()

    def last_words(self) -> tuple[Outgoing, ...]:
        """None."""
        return ()

    # ── values out (Voice) ────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Tell every signal that was measured anew, and every other one."""
        if self.connection is None:
            return
        now = datetime.now(UTC)
        for equipment in self._state.equipment.values():
            for signal in equipment.signals:
                self._tell(equipment, signal, now)

    def _tell(self, equipment: Equipment, signal: Signal, now: datetime) -> None:
        path = f"{equipment.name}/{signal.name}"
        shown = self._state.shown(path)
        measured = signal.start is None
        if measured and self._told.get(path) == shown.confirmed_utc:
            return  # nobody has looked at it since
        self._told[path] = shown.confirmed_utc
        self._send_value(path, shown, shown.source_utc if measured else now)

    def _send_value(self, path: str, shown: Shown, at_utc: datetime) -> None:
        value = _jsonable(shown.value)
        content = {
            "value": f"about {value}" if path in self._wrong else value,
            "timestamp": at_utc.isoformat(),
            "quality": "good" if shown.good else "bad",
        }
        self.send_data(Outgoing(topic=f"{self._prefix}/{path}", payload=json.dumps(content).encode(), qos=1))

    # ── set-points in ─────────────────────────────────────────────────────────────────────────────────────

    def heard(self, message: Incoming) -> None:
        """A set-point: carried out beside, and answered in any case, unless it is retained."""
        if message.retained:
            raise ValueError("a retained command would be carried out again at every connection")
        path = message.topic.removeprefix(f"{self._prefix}/").removesuffix("/set")
        try:
            asked = json.loads(message.payload)
        except ValueError as error:
            self._confirm(path, None, None, f"no JSON: {error}")
            return
        if not isinstance(asked, dict) or "value" not in asked:
            self._confirm(path, None, None, "an object with id, value and timestamp was expected")
            return
        self.beside(self._write(path, asked.get("id"), asked["value"]))

    async def _write(self, path: str, number: Any, value: Any) -> None:
        status = "BadTypeMismatch"
        if isinstance(value, bool | int | float | str):
            status = await self._state.write_value(path, value, session=WRITER)
        if status.startswith("Good"):
            self._send_value(path, self._state.shown(path), datetime.now(UTC))
        else:
            _log.warning("%s: set-point refused: %s", path, status)
        self._confirm(path, number, value, "ok" if status == "Good" else status)

    def _confirm(self, path: str, number: Any, value: Any, status: str) -> None:
        content = json.dumps({"id": number, "value": value, "status": status})
        self.send(Outgoing(topic=f"{self._prefix}/{path}/confirmed", payload=content.encode(), qos=1))

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, request: FaultRequest) -> None:
        """Let a fault begin."""
        super().begin(request)
        if request.fault.name == "wrong_type":
            self._wrong.add(self._main_path(request.equipment))

    def end(self, fault: str, equipment: str) -> None:
        """End a fault that lasts."""
        super().end(fault, equipment)
        if fault == "wrong_type":
            self._wrong.discard(self._main_path(equipment))

    def _main_path(self, equipment: str) -> str:
        return f"{equipment}/{self._state.equipment[equipment].main_signal.name}"


def _jsonable(value: Scalar | None) -> bool | int | float | str | None:
    return value.isoformat() if isinstance(value, datetime) else value
