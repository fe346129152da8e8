"""A recording in the plant: its nodes, when it starts, and how far it has come."""

from __future__ import annotations

from datetime import UTC, datetime

from simulator.equipment import PLANT, Signal, replayed_machine
from simulator.plant import Plant
from simulator.replay import Player, Recording, ReplayError

GROUP = "Replay"


class Playback:
    """Publishes a recording in a plant. Make it after ``plant.open`` and before ``plant.start``.

    Equipment that the plant lacks is added with a ``LoadSetpoint``; a signal that it has must be a measured one and
    is taken over from the physics. ``Plant/Replay`` shows ``RecordedStart``, ``WallStart``, ``Speed``,
    ``RowsPlayed`` and ``Done``.
    """

    def __init__(
        self, plant: Plant, recording: Recording, *, speed: float, loop: bool, start_after_items: int = 0
    ) -> None:
        """``start_after_items``: hold the first row until there are so many monitored items on the replayed nodes.

        Raises ``ReplayError`` for a mapping onto a signal that is not measured.
        """
        self._plant = plant
        self._start_after_items = start_after_items
        self._add_equipment(recording)
        self._slots = [plant.server.slot(f"{m.equipment}/{m.signal}") for m in recording.mappings]
        server = plant.server
        server.add_group(GROUP)
        started = recording.recorded_start_utc.isoformat()
        server.add_variable(Signal(name="RecordedStart", data_type="String", start=started), group=GROUP)
        server.add_variable(Signal(name="Speed", start=speed), group=GROUP)
        self._wall_start = server.add_variable(Signal(name="WallStart", data_type="DateTime"), group=GROUP)
        self._rows = server.add_variable(Signal(name="RowsPlayed", data_type="UInt32", start=0), group=GROUP)
        self._done = server.add_variable(Signal(name="Done", data_type="Boolean", start=False), group=GROUP)
        self._player = Player(
            recording, speed=speed, loop=loop, publish_row=self._publish_row, progress=self._progress
        )

    def _add_equipment(self, recording: Recording) -> None:
        plant = self._plant
        wanted: dict[str, list[str]] = {}
        for mapping in recording.mappings:
            signals = wanted.setdefault(mapping.equipment, [])
            if mapping.signal in signals:
                raise ReplayError(f"{mapping.equipment}/{mapping.signal} is mapped twice; give it one column")
            signals.append(mapping.signal)
        for name, signals in wanted.items():
            if name == PLANT:
                raise ReplayError(f"{PLANT} is no name for an equipment; choose another in --map")
            if name not in plant.equipment:
                plant.add_equipment(replayed_machine(name, tuple(signals)))
            else:
                self._take_over(name, signals)
            plant.owned.update(f"{name}/{signal}" for signal in signals)

    def _take_over(self, name: str, signals: list[str]) -> None:
        equipment = self._plant.equipment[name]
        existing = {signal.name: signal for signal in equipment.signals}
        for signal in signals:
            if signal not in existing:
                self._plant.server.add_signal(equipment, Signal(name=signal))
            elif existing[signal].writable or existing[signal].data_type != "Double":
                raise ReplayError(f"{name}/{signal} is no measured signal; map the column to another")

    async def run(self) -> None:
        """Wait for the watchers asked for, play, and say when it is done. A loop never is."""
        server = self._plant.server
        while server.watchers(self._slots) < self._start_after_items:
            server.items_created.clear()
            await server.items_created.wait()
        now = datetime.now(UTC)
        await server.publish([self._wall_start], [now], now)
        await self._player.play(now)
        await server.publish([self._done], [True], datetime.now(UTC))

    async def _publish_row(self, row: tuple[float, ...], source_utc: datetime) -> None:
        await self._plant.publish(self._slots, row, source_utc)

    async def _progress(self, rows: int) -> None:
        await self._plant.server.publish([self._rows], [rows], datetime.now(UTC))
