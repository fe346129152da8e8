"""The plant: physics, faults, set-points and the clock, put on the wire by ``simulator.opcua``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from simulator import physics
from simulator.equipment import (
    PLANT,
    PUMP_MEASURED,
    REACTOR_MEASURED,
    VALVE_MEASURED,
    Equipment,
    Signal,
    default_plant,
    reactors,
)
from simulator.faults import FaultError, FaultRequest, check_applies, parse_fault
from simulator.opcua.nodes import NodeSlot
from simulator.opcua.server import Access, PlantServer
from simulator.voices import Shown, Voice
from simulator.write_log import WriteLog
from simulator.writes import Scalar, Verdict, WriteAsked

_log = logging.getLogger(__name__)

_OWN_VARIABLES: Final = (
    Signal(name="WriteCount", data_type="UInt32", start=0),
    Signal(name="ValueCount", data_type="UInt64", start=0),
    Signal(name="ActiveFaults", data_type="String", start=""),
)

Model = physics.Reactors | physics.Pumps | physics.Valves


@dataclass(frozen=True, kw_only=True)
class PlantOptions:
    """What to build. ``equipment`` is the number of reactors, ``None`` the default plant."""

    endpoint: str = "opc.tcp://127.0.0.1:4840/plant"
    equipment: int | None = None
    seed: int = 1
    tick_s: float = 1.0
    time_scale: float = 1.0
    rate_per_s: float | None = None
    """Values per second over all measured signals, 0 as many as possible; ``None`` leaves it to the tick."""
    faults: tuple[FaultRequest, ...] = ()
    write_log: Path | None = None
    access: Access = field(default_factory=Access)


@dataclass(frozen=True, kw_only=True)
class _Fleet:
    """All equipment of one kind: one model, and its measured nodes in the order of ``model.measured()``."""

    names: tuple[str, ...]
    model: Model
    slots: list[NodeSlot]


class Plant:
    """A running plant. ``open``, then ``run`` until cancelled, then ``close``."""

    def __init__(self, options: PlantOptions) -> None:
        self.options = options
        self.server = PlantServer(policy=self, access=options.access)
        self.equipment: dict[str, Equipment] = {}
        self.owned: set[str] = set()
        """Nodes (``EQUIPMENT/Signal``) that somebody else than the physics publishes."""
        self.voices: list[Voice] = []
        """Who tells of the plant beside OPC UA; to be filled before ``start``."""
        self._log_of_writes = WriteLog(options.write_log)
        self._fleets: list[_Fleet] = []
        self._place: dict[str, tuple[Model, int]] = {}
        self._active: dict[str, dict[str, FaultRequest]] = {}
        self._sensor_faults: dict[str, str] = {}
        self._timers: set[asyncio.Task[None]] = set()
        self._published = 0

    async def open(self) -> str:
        """Build everything and take the port, not answering yet. Returns the endpoint with its real port.

        Raises ``OSError`` if the port is taken, ``FaultError`` for a fault that does not fit the equipment.
        """
        endpoint = await self.server.open(self.options.endpoint)
        count = self.options.equipment
        for equipment in default_plant() if count is None else reactors(count):
            self.add_equipment(equipment)
        self._add_fleets()
        self._write_count, self._value_count, self._active_faults = (
            self.server.add_variable(variable) for variable in _OWN_VARIABLES
        )
        await self.server.add_method("InjectFault", ("equipment", "fault"), self._inject_method)
        await self.server.add_method("ClearFault", ("equipment",), self._clear_method)
        return endpoint

    def add_equipment(self, equipment: Equipment) -> None:
        """Add a machine; to be done before ``start``."""
        self.equipment[equipment.name] = equipment
        self.server.add_equipment(equipment)

    def _add_fleets(self) -> None:
        for kind, measured, model_of in (
            ("REACTOR", REACTOR_MEASURED, physics.Reactors),
            ("PUMP", PUMP_MEASURED, physics.Pumps),
            ("VALVE", VALVE_MEASURED, physics.Valves),
        ):
            names = tuple(e.name for e in self.equipment.values() if e.kind == kind)
            if not names:
                continue
            model: Model = model_of(len(names), seed=self.options.seed)
            slots = [self.server.slot(f"{name}/{signal.name}") for name in names for signal in measured]
            self._fleets.append(_Fleet(names=names, model=model, slots=slots))
            self._place.update((name, (model, index)) for index, name in enumerate(names))

    async def start(self) -> None:
        """Publish the first values, begin to answer, and set off the faults asked for at start."""
        for request in self.options.faults:
            self._check(request)
        await self._tick(0.0)
        await self.server.start()
        for request in self.options.faults:
            await self.inject(request)

    async def run(self) -> None:
        """Let time pass, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_ticks())
            if self.options.rate_per_s is not None:
                group.create_task(self._run_rate(self.options.rate_per_s))
            for voice in self.voices:
                group.create_task(voice.run())

    async def close(self) -> None:
        """Stop answering and close the write log."""
        for timer in self._timers:
            timer.cancel()
        for voice in self.voices:
            await voice.close()
        await self.server.stop()
        self._log_of_writes.close()

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _run_ticks(self) -> None:
        clock = asyncio.get_running_loop().time
        tick_s = self.options.tick_s
        started_s = clock()
        number = 0
        while True:
            behind = int((clock() - started_s) / tick_s)
            if behind > number + 1:
                _log.warning(
                    "ticks skipped: %d; the plant stood still or is too large for its tick", behind - number
                )
            number = max(number, behind) + 1
            await asyncio.sleep(started_s + number * tick_s - clock())
            await self._tick(tick_s * self.options.time_scale)

    async def _tick(self, dt_s: float) -> None:
        now = datetime.now(UTC)
        for fleet in self._fleets:
            fleet.model.step(dt_s)
            if self.options.rate_per_s is None:
                values = fleet.model.measured().ravel().tolist()
                slots = fleet.slots
                if self.owned:
                    kept = [(s, v) for s, v in zip(slots, values, strict=True) if s.node_id not in self.owned]
                    slots, values = [s for s, _ in kept], [v for _, v in kept]
                await self.publish(slots, values, now)
            if isinstance(fleet.model, physics.Reactors):
                await self._publish_states(fleet, fleet.model, now)
        await self._publish_count(now)
        self._tell()

    def _tell(self) -> None:
        for voice in self.voices:
            voice.tick()

    async def _publish_states(self, fleet: _Fleet, model: physics.Reactors, now: datetime) -> None:
        for name, state in zip(fleet.names, model.states().tolist(), strict=True):
            slot = self.server.slot(f"{name}/State")
            if slot.value != state:
                await self.server.publish([slot], [state], now)

    async def _publish_count(self, now: datetime) -> None:
        await self.server.publish([self._value_count], [self._published], now)

    async def _run_rate(self, rate_per_s: float) -> None:
        """Publish round and round over all measured nodes, evenly in slots of 100 ms, or without a pause."""
        clock = asyncio.get_running_loop().time
        ring: list[NodeSlot] = []
        base: list[float] = []
        for fleet in self._fleets:
            ring.extend(fleet.slots)
            base.extend(fleet.model.measured().ravel().tolist())
        noise = np.random.default_rng(self.options.seed).normal(scale=0.05, size=4093).tolist()
        started_s, position, due = clock(), 0, 0.0
        slot_s = 0.1
        while ring:
            if rate_per_s > 0.0:
                started_s += slot_s
                due += rate_per_s * slot_s
                count = int(due)
                due -= count
            else:
                count = 500
            places = [(position + k) % len(ring) for k in range(count)]
            values = [base[p] + noise[(position + k) % len(noise)] for k, p in enumerate(places)]
            position += count
            now = datetime.now(UTC)
            await self.publish([ring[p] for p in places], values, now)
            await self._publish_count(now)
            self._tell()
            # behind its rate by more than a second the plant drops the debt instead of bunching it up
            started_s = max(started_s, clock() - 1.0)
            await asyncio.sleep(max(0.0, started_s - clock()) if rate_per_s > 0.0 else 0.0)

    async def publish(self, slots: Sequence[NodeSlot], values: Sequence[float], source_utc: datetime) -> None:
        """Publish measured values, except where a sensor fault says otherwise."""
        self._published += len(slots)
        if not self._sensor_faults:
            await self.server.publish(slots, values, source_utc)
            return
        healthy = [(s, v) for s, v in zip(slots, values, strict=True) if s.node_id not in self._sensor_faults]
        await self.server.publish([s for s, _ in healthy], [v for _, v in healthy], source_utc)
        for slot in slots:
            match self._sensor_faults.get(slot.node_id):
                case "bad_sensor":
                    await self.server.publish_bad(slot, "BadSensorFailure", source_utc)
                case "stuck_sensor":
                    await self.server.confirm(slot)

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────

    def _kinds(self) -> dict[str, str]:
        return {name: equipment.kind for name, equipment in self.equipment.items()}

    def _check(self, request: FaultRequest) -> None:
        check_applies(request, kinds=self._kinds())
        name = request.fault.name
        if request.fault.group == "mqtt" and not any(name in voice.faults for voice in self.voices):
            tongue = "--sparkplug GROUP/NODE" if self.voices else "--broker and --sparkplug or --plain"
            raise FaultError(f"{name} wants a plant that speaks MQTT; start it with {tongue}")

    async def inject(self, request: FaultRequest) -> None:
        """Let a fault begin, now or after its delay. Raises ``FaultError`` if it does not fit the equipment."""
        self._check(request)
        timer = asyncio.create_task(self._begin(request))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)
        if request.delay_s == 0.0:
            await timer

    async def _begin(self, request: FaultRequest) -> None:
        if request.delay_s > 0.0:
            await asyncio.sleep(request.delay_s)
        _log.info("fault begun: %s at %s", request.fault.name, request.equipment)
        if request.fault.name == "freeze":
            # the answer to whoever asked must leave first; then the whole process stands still
            asyncio.get_running_loop().call_later(0.05, time.sleep, request.duration_s or 0.0)
            return
        for voice in self.voices:
            if request.fault.name in voice.faults:
                voice.begin(request)
        if request.fault.lasts:
            self._active.setdefault(request.equipment, {})[request.fault.name] = request
            await self._faults_changed(request.equipment)

    async def clear(self, name: str) -> None:
        """End all faults of an equipment, or those of the whole plant (``PLANT``)."""
        if name != PLANT and name not in self.equipment:
            raise FaultError(f"no equipment is called {name!r}")
        for fault in self._active.pop(name, {}):
            for voice in self.voices:
                if fault in voice.faults:
                    voice.end(fault, name)
        _log.info("faults cleared: %s", name)
        await self._faults_changed(name)

    async def _faults_changed(self, name: str) -> None:
        active = self._active.get(name, {})
        if name in self._place:
            model, index = self._place[name]
            if isinstance(model, physics.Reactors):
                model.heat_factor[index] = (
                    physics.RUNAWAY_FACTOR
                    if "runaway" in active
                    else physics.OVERHEAT_FACTOR
                    if "overheat" in active
                    else 1.0
                )
                model.flow_factor[index] = physics.COOLANT_LOSS_FACTOR if "coolant_loss" in active else 1.0
            if not isinstance(model, physics.Valves):
                model.surge_bar[index] = physics.SURGE_BAR if "pressure_surge" in active else 0.0
        if name in self.equipment:
            node = f"{name}/{self.equipment[name].main_signal.name}"
            self._sensor_faults.pop(node, None)
            for fault in active:
                if fault.endswith("_sensor"):
                    self._sensor_faults[node] = fault
        text = ", ".join(f"{fault} {where}" for where, faults in self._active.items() for fault in faults)
        await self.server.publish([self._active_faults], [text], datetime.now(UTC))

    async def _inject_method(self, *arguments: str) -> None:
        equipment, fault = arguments
        try:
            await self.inject(parse_fault(fault, equipment=equipment or None))
        except FaultError as error:
            _log.warning("fault refused: %s", error)
            raise

    async def _clear_method(self, *arguments: str) -> None:
        await self.clear(arguments[0] or PLANT)

    # ── what voices may ask (PlantState) ──────────────────────────────────────────────────────────────────

    @property
    def variables(self) -> tuple[Signal, ...]:
        """What the plant tells of itself, as ``Plant/Name``."""
        return _OWN_VARIABLES

    def shown(self, path: str) -> Shown:
        """What a signal shows now; ``KeyError`` if there is none."""
        return self.server.shown(path)

    async def write_value(self, path: str, value: Scalar, *, session: str) -> str:
        """A write that came over another wire than OPC UA; the name of an OPC UA status."""
        return await self.server.write_value(path, value, session=session)

    # ── writes (WritePolicy) ──────────────────────────────────────────────────────────────────────────────

    def decide(self, asked: WriteAsked) -> Verdict:
        """What becomes of a write that fits type and range."""
        faults = self._active.get(PLANT, {}) | self._active.get(asked.equipment, {})
        if "write_refused" in faults:
            return Verdict(store=None, status="BadDeviceFailure")
        store: Scalar | None = asked.asked
        if "setpoint_ignored" in faults:
            store = None
        elif "setpoint_clamped" in faults:
            store = _halfway(asked)
        late, slow = faults.get("write_late"), faults.get("write_slow")
        return Verdict(
            store=store,
            before_s=0.0 if late is None else late.duration_s or 0.0,
            after_s=0.0 if slow is None else slow.duration_s or 0.0,
            die="kill_after_write" in faults,
        )

    async def applied(self, asked: WriteAsked, stored: Scalar) -> None:
        """Record the write, then let the physics follow it."""
        self._log_of_writes.add(asked, stored)
        if asked.equipment in self._place and not isinstance(stored, str | datetime):
            model, index = self._place[asked.equipment]
            match model, asked.signal.name:
                case physics.Reactors(), "ThroughputSetpoint":
                    model.throughput_setpoint_kg_h[index] = stored
                case physics.Reactors(), "CoolingOn":
                    model.cooling_on[index] = stored
                case physics.Pumps(), "SpeedSetpoint":
                    model.speed_setpoint_rpm[index] = stored
                case physics.Valves(), "PositionSetpoint":
                    model.position_setpoint_pct[index] = stored
        await self.server.publish([self._write_count], [self._log_of_writes.count], datetime.now(UTC))

    def slow(self) -> bool:
        """Whether any write may take long now."""
        return any("write_slow" in faults or "write_late" in faults for faults in self._active.values())


def _halfway(asked: WriteAsked) -> Scalar:
    """Half the way to what was asked, in the node's own precision; a switch cannot go half the way."""
    if isinstance(asked.asked, bool) or not isinstance(asked.asked, int | float):
        return asked.asked
    if not isinstance(asked.old, int | float):
        return asked.asked
    middle = asked.old + (asked.asked - asked.old) / 2
    return int(middle) if asked.signal.data_type == "Int32" else float(np.float32(middle))
