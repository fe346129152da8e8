"""Detect: readings in, conditions out. A condition that nobody can look at is neither cleared nor renewed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import isfinite

import numpy as np
import numpy.typing as npt

from bridge.detection.rate import RateOfChange
from bridge.detection.root_cause import RootCause, in_words, root_cause
from bridge.detection.thresholds import ThresholdBank, ThresholdRule, rounds
from bridge.domain.anomaly import BAD_SIGNAL, STALE_SIGNAL, Anomaly, Cleared, Severity
from bridge.domain.reading import Quality, Reading, is_late
from bridge.domain.tag import Tag
from bridge.plant import Equipment, Plant
from bridge.settings import RuleSettings

Event = Anomaly | Cleared
KnownCondition = tuple[str, str, Severity, datetime]
"""equipment_id, issue_type, severity, since_utc: a condition as the database remembers it."""

SIGNAL_TROUBLE_AFTER_S = 2.0
"""How long a signal must be bad or silent before that is a condition: one odd value is no work order."""

MOST_UNKNOWN = 1000
_LARGEST = 1.7e308


class Detector:
    """Finds conditions on the whole plant from batches of readings.

    Two kinds of condition: those of the rules in bridge.toml, and `bad_signal` and `stale_signal`, one of
    each per equipment, shared by all of its signals that are bad or silent. A signal is bad or silent, not
    both: a bad one that falls silent stays bad. Rules work on source time; bad and stale on our own
    clock, by `received_utc` and the argument of `tick`, because what does not speak has no time of its own.

    An Anomaly is given when a condition begins or its severity changes, a Cleared when it ends. While the
    signal of a rule is bad, silent or not a number, its conditions are blind: they stay as they are.
    Call `observe` with every batch and `tick` about once a second. Nothing here is thread-safe.
    """

    def __init__(self, plant: Plant, *, started_utc: datetime) -> None:
        self.unknown_equipment: set[str] = set()
        """Equipment ids that arrived without being configured; at most `MOST_UNKNOWN` are kept."""
        self.unknown_readings = 0
        """Readings of tags that are not configured."""
        self.out_of_order = 0
        """Readings older than the newest one of their tag; they were not looked at."""
        self._plant = plant
        self._started_utc = started_utc
        self._now_utc = started_utc
        self._points: dict[str, _Point] = {}
        self._watches: dict[str, _Watch] = {}
        self._conditions: dict[tuple[str, str], _Condition] = {}
        self._bad_waiting: dict[str, _Point] = {}
        ruled = 0
        levels: list[_Condition] = []
        rates: list[_Condition] = []
        for equipment in plant.equipment.values():
            watch = self._watches[equipment.id] = _Watch(equipment)
            for tag in (*equipment.signals.values(), *equipment.setpoints.values()):
                point = self._points[tag.path] = _Point(tag, watch, len(self._points))
                if tag.signal is not None:
                    watch.signals[tag.signal] = point
            for rule in equipment.rules:
                point = watch.signals[rule.signal]
                if point.slot < 0:
                    point.slot, ruled = ruled, ruled + 1
                family = rates if rule.direction in ("rising", "falling") else levels
                condition = _Condition(watch, point, rule, len(family))
                family.append(condition)
                self._conditions[equipment.id, rule.issue] = condition
        self._all = list(self._points.values())
        self._levels = _Family(levels, ruled)
        self._rates = _Family(rates, ruled)
        self._slopes = RateOfChange(len(rates))
        self._heard_s: npt.NDArray[np.float64] = np.full(len(self._all), started_utc.timestamp())
        # A set-point is not watched for silence: it speaks when somebody changes it.
        self._allowed_s: npt.NDArray[np.float64] = np.array(
            [point.tag.stale_after_s if point.tag.signal is not None else np.inf for point in self._all]
        )

    def observe(self, readings: Sequence[Reading]) -> list[Event]:
        """Take in a batch, in the order per tag that the link gave, and return what began, changed or ended.

        Equipment and tags that are not configured are counted, never an error. Late and replayed readings
        that are older than what is known already change nothing.
        """
        events: list[Event] = []
        slots: list[int] = []
        values: list[float] = []
        times_s: list[float] = []
        heard: list[int] = []
        heard_s: list[float] = []
        points = self._points
        for reading in readings:
            tag, value, quality, source_utc, received_utc, _, _, confirmed = reading
            point = points.get(tag.path)
            if point is None:
                self._note_unknown(tag)
                continue
            number: float | None = None
            if isinstance(value, float):
                bad = quality is Quality.BAD or not isfinite(value)
                number = value
            else:
                bad = quality is Quality.BAD or value is None
                if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST:
                    number = float(value)
            late = is_late(reading)
            newest = point.newest
            if (
                newest is not None
                and (late or source_utc < newest.source_time_utc)
                and _outdated(reading, newest, bad=bad, late=late, in_trouble=point.in_trouble)
            ):
                self.out_of_order += 1
                continue
            point.newest = reading
            point.number = None if bad else number
            # A clock that runs ahead must not make a silent signal look alive.
            seen_utc = received_utc if confirmed or received_utc < source_utc else source_utc
            heard.append(point.index)
            heard_s.append(seen_utc.timestamp())
            if point.tag.signal is None:
                continue
            if bad:
                self._take_bad(point, received_utc, events)
                continue
            if point.in_trouble:
                self._take_recovery(point, seen_utc, late, events)
            if late:
                if point.stale_from_s is None:
                    point.stale_from_s = received_utc.timestamp()
                    point.in_trouble = True
                continue
            if point.slot >= 0 and number is not None:
                time_s = (received_utc if confirmed else source_utc).timestamp()
                if time_s < point.fed_s:
                    time_s = self._straighten(point, time_s)
                point.fed_s = time_s
                slots.append(point.slot)
                values.append(number)
                times_s.append(time_s)
        # Of an index that occurs twice, numpy keeps the last: that is the newest one.
        self._heard_s[heard] = heard_s
        if slots:
            self._feed(np.array(slots), np.array(values), np.array(times_s), events)
        return events

    def tick(self, now_utc: datetime) -> list[Event]:
        """Look for signals that are silent, and for bad ones that stay bad; return what began or ended.

        A signal that was never heard counts from the start of the detector.
        """
        events: list[Event] = []
        now_s = now_utc.timestamp()
        self._now_utc = now_utc
        for point in list(self._bad_waiting.values()):
            self._report_bad(point, now_utc, events)
        for index in np.flatnonzero(now_s - self._heard_s > self._allowed_s).tolist():
            point = self._all[index]
            if point.bad_from_utc is not None:
                continue
            if point.stale_from_s is None:
                point.stale_from_s = now_s
                point.in_trouble = True
            elif not point.reported_stale and now_s - point.stale_from_s >= SIGNAL_TROUBLE_AFTER_S:
                point.reported_stale = True
                # What was bad before a restart and has been silent since is silent, not bad.
                self._leave(point, BAD_SIGNAL, now_utc, events)
                since_s = min(self._heard_s[index] + self._allowed_s[index], now_s)
                self._join(point, STALE_SIGNAL, _utc(since_s), now_utc, events)
        return events

    def active(self) -> list[Anomaly]:
        """All active conditions with present values; value and limit are None where it is blind."""
        found = []
        for family in (self._levels, self._rates):
            for channel in np.flatnonzero(family.bank.level >= 0).tolist():
                condition = family.conditions[channel]
                found.append(self._anomaly(family.bank, condition, blind=self._blind(condition)))
        for watch in self._watches.values():
            for issue_type, trouble in watch.troubles.items():
                if trouble.since_utc is not None:
                    found.append(self._trouble_anomaly(watch, issue_type, trouble.since_utc, self._now_utc))
        return found

    def is_blind(self, equipment_id: str, issue_type: str) -> bool:
        """True when the condition's signal is bad, silent, not a number, or unheard of since a restart.

        False for `bad_signal`, `stale_signal` and for conditions that no rule here could find.
        """
        condition = self._conditions.get((equipment_id, issue_type))
        return condition is not None and self._blind(condition)

    def restore(self, conditions: Iterable[KnownCondition]) -> list[KnownCondition]:
        """Start with conditions that the database holds as active; call before the first `observe`.

        They go on without a new Anomaly and end by the ordinary rules. Returned are those that no rule
        here can find at that severity (the configuration changed), for the caller to clear.
        """
        strangers = []
        for known in conditions:
            equipment_id, issue_type, severity, since_utc = known
            watch = self._watches.get(equipment_id)
            condition = self._conditions.get((equipment_id, issue_type))
            if watch is not None and issue_type in watch.troubles:
                if severity != Severity.MEDIUM or not watch.signals:
                    strangers.append(known)
                    continue
                trouble = watch.troubles[issue_type]
                trouble.since_utc = since_utc
                # Any of the signals may have been it; each is a suspect until it is heard.
                trouble.members.update(dict.fromkeys(watch.signals))
                for point in watch.signals.values():
                    point.in_trouble = True
                continue
            severities = [level.severity for level in condition.rule.levels] if condition else []
            if condition is None or severity not in severities:
                strangers.append(known)
                continue
            self._bank(condition).restore(
                condition.channel, severities.index(severity), since_utc.timestamp()
            )
        return strangers

    def latest(self, equipment_id: str) -> dict[str, float | None]:
        """Newest value by signal name, Boolean as 0 or 1; None for a signal that is silent, bad or text.

        Empty for equipment that is not configured.
        """
        watch = self._watches.get(equipment_id)
        return {} if watch is None else watch.latest()

    def reading(self, tag_path: str) -> Reading | None:
        """Newest reading of any configured tag, set-points too, whatever its quality; None if never heard."""
        point = self._points.get(tag_path)
        return None if point is None else point.newest

    def root_cause(self, anomaly: Anomaly) -> RootCause:
        """Likely cause of a condition from the equipment's signals and configured normal ranges."""
        equipment = self._plant.equipment[anomaly.equipment_id]
        condition = self._conditions.get((anomaly.equipment_id, anomaly.issue_type))
        return root_cause(
            anomaly,
            normal=equipment.normal,
            units={name: tag.unit for name, tag in equipment.signals.items()},
            direction=condition.rule.direction if condition is not None else None,
        )

    def _feed(
        self,
        slots: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
        times_s: npt.NDArray[np.float64],
        events: list[Event],
    ) -> None:
        for chosen in rounds(slots):
            now_values, now_s = values[chosen], times_s[chosen]
            channels, rows = self._levels.spread(slots[chosen])
            if channels.size:
                changed = self._levels.bank.update(channels, now_values[rows], now_s[rows])
                self._report(self._levels, changed, events)
            channels, rows = self._rates.spread(slots[chosen])
            if channels.size:
                slopes = self._slopes.update(channels, now_values[rows], now_s[rows])
                there = ~np.isnan(slopes)
                changed = self._rates.bank.update(channels[there], slopes[there], now_s[rows][there])
                self._report(self._rates, changed, events)

    def _report(self, family: _Family, changed: npt.NDArray[np.int64], events: list[Event]) -> None:
        for channel in changed.tolist():
            condition = family.conditions[channel]
            if family.bank.level[channel] >= 0:
                events.append(self._anomaly(family.bank, condition, blind=False))
            else:
                events.append(
                    Cleared(
                        equipment_id=condition.watch.equipment.id,
                        issue_type=condition.rule.issue,
                        cleared_utc=_utc(family.bank.time_s[channel]),
                    )
                )

    def _bank(self, condition: _Condition) -> ThresholdBank:
        family = self._rates if condition.rule.direction in ("rising", "falling") else self._levels
        return family.bank

    def _blind(self, condition: _Condition) -> bool:
        point = condition.point
        silent = point.stale_from_s is not None or point.bad_from_utc is not None
        unmeasured = bool(np.isnan(self._bank(condition).value[condition.channel]))
        return silent or point.number is None or unmeasured

    def _anomaly(self, bank: ThresholdBank, condition: _Condition, *, blind: bool) -> Anomaly:
        channel, rule, point = condition.channel, condition.rule, condition.point
        level = rule.levels[bank.level[channel]]
        since_utc = _utc(bank.onset_s[channel])
        seen_s = float(bank.time_s[channel])
        unit = point.tag.unit
        if rule.direction in ("rising", "falling"):
            unit = f"{unit}/min" if unit else "1/min"
        value = None if blind else float(bank.value[channel])
        return Anomaly(
            equipment_id=condition.watch.equipment.id,
            issue_type=rule.issue,
            severity=level.severity,
            confidence=level.confidence,
            signal=rule.signal,
            tag_path=point.tag.path,
            value=value,
            limit=None if blind else level.limit,
            unit=unit,
            since_utc=since_utc,
            seen_utc=_utc(seen_s) if isfinite(seen_s) else since_utc,
            readings=condition.watch.latest(),
            detail=_detail(condition, value, level.limit, unit),
        )

    def _trouble_anomaly(
        self, watch: _Watch, issue_type: str, since_utc: datetime, seen_utc: datetime
    ) -> Anomaly:
        members = [watch.signals[name] for name in watch.troubles[issue_type].members]
        first = members[0]
        return Anomaly(
            equipment_id=watch.equipment.id,
            issue_type=issue_type,
            severity=Severity.MEDIUM,
            confidence=1.0,
            signal=first.tag.signal or "",
            tag_path=first.tag.path,
            value=None,
            limit=None,
            unit=first.tag.unit,
            since_utc=since_utc,
            seen_utc=max(since_utc, seen_utc),
            readings=watch.latest(),
            detail="; ".join(
                _bad_detail(point) if issue_type == BAD_SIGNAL else _stale_detail(point, self._started_utc)
                for point in members
            ),
        )

    def _take_bad(self, point: _Point, received_utc: datetime, events: list[Event]) -> None:
        point.in_trouble = True
        point.stale_from_s = None
        point.reported_stale = False
        self._leave(point, STALE_SIGNAL, received_utc, events)
        if point.bad_from_utc is None:
            point.bad_from_utc = received_utc
            self._bad_waiting[point.tag.path] = point
        elif point.tag.path in self._bad_waiting:
            self._report_bad(point, received_utc, events)

    def _report_bad(self, point: _Point, now_utc: datetime, events: list[Event]) -> None:
        from_utc = point.bad_from_utc
        if from_utc is not None and (now_utc - from_utc).total_seconds() >= SIGNAL_TROUBLE_AFTER_S:
            del self._bad_waiting[point.tag.path]
            self._join(point, BAD_SIGNAL, from_utc, now_utc, events)

    def _take_recovery(self, point: _Point, seen_utc: datetime, late: bool, events: list[Event]) -> None:
        point.bad_from_utc = None
        self._bad_waiting.pop(point.tag.path, None)
        self._leave(point, BAD_SIGNAL, seen_utc, events)
        if not late:
            point.stale_from_s = None
            point.reported_stale = False
            point.in_trouble = False
            self._leave(point, STALE_SIGNAL, seen_utc, events)

    def _join(
        self, point: _Point, issue_type: str, since_utc: datetime, now_utc: datetime, events: list[Event]
    ) -> None:
        trouble = point.watch.troubles[issue_type]
        trouble.members[point.tag.signal or ""] = None
        if trouble.since_utc is None:
            trouble.since_utc = since_utc
            events.append(self._trouble_anomaly(point.watch, issue_type, since_utc, now_utc))

    def _leave(self, point: _Point, issue_type: str, now_utc: datetime, events: list[Event]) -> None:
        trouble = point.watch.troubles[issue_type]
        name = point.tag.signal or ""
        if name not in trouble.members:
            return
        del trouble.members[name]
        if not trouble.members and trouble.since_utc is not None:
            trouble.since_utc = None
            events.append(
                Cleared(equipment_id=point.watch.equipment.id, issue_type=issue_type, cleared_utc=now_utc)
            )

    def _straighten(self, point: _Point, time_s: float) -> float:
        """Give a reading that is newer by order but not by time a place on the rule's time axis.

        A value read on purpose counts at the moment of reading, so the next reported one may carry a
        slightly earlier source time: it takes the same moment. A step back by more than the stale time is
        a clock that was set: the rules' delays start over, instead of waiting for the old time to come.
        """
        if point.fed_s - time_s <= point.tag.stale_after_s:
            return point.fed_s
        slot = np.array([point.slot])
        self._levels.bank.forget_time(self._levels.spread(slot)[0])
        channels = self._rates.spread(slot)[0]
        self._rates.bank.forget_time(channels)
        self._slopes.forget(channels)
        return time_s

    def _note_unknown(self, tag: Tag) -> None:
        self.unknown_readings += 1
        if tag.equipment_id not in self._watches and len(self.unknown_equipment) < MOST_UNKNOWN:
            self.unknown_equipment.add(tag.equipment_id)


class _Trouble:
    """`bad_signal` or `stale_signal` of one equipment: its signals in order of joining, and since when."""

    __slots__ = ("members", "since_utc")

    def __init__(self) -> None:
        self.members: dict[str, None] = {}
        self.since_utc: datetime | None = None


class _Watch:
    """One equipment as the detector sees it."""

    __slots__ = ("equipment", "signals", "troubles")

    def __init__(self, equipment: Equipment) -> None:
        self.equipment = equipment
        self.signals: dict[str, _Point] = {}
        self.troubles = {BAD_SIGNAL: _Trouble(), STALE_SIGNAL: _Trouble()}

    def latest(self) -> dict[str, float | None]:
        """Newest value by signal; None where there is none to rely on."""
        return {name: point.latest() for name, point in self.signals.items()}


class _Point:
    """One tag: its newest reading, and whether it can be relied on.

    slot: its place among signals with rules, -1 without. number: the newest value if it is a number.
    fed_s: last time given to the rules. bad_from_utc, stale_from_s: since when we know, None for not.
    in_trouble: any of that, or under suspicion after a restart; spares the rest a look.
    """

    __slots__ = (
        "bad_from_utc",
        "fed_s",
        "in_trouble",
        "index",
        "newest",
        "number",
        "reported_stale",
        "slot",
        "stale_from_s",
        "tag",
        "watch",
    )

    def __init__(self, tag: Tag, watch: _Watch, index: int) -> None:
        self.tag = tag
        self.watch = watch
        self.index = index
        self.slot = -1
        self.newest: Reading | None = None
        self.number: float | None = None
        self.fed_s = -np.inf
        self.bad_from_utc: datetime | None = None
        self.stale_from_s: float | None = None
        self.reported_stale = False
        self.in_trouble = False

    def latest(self) -> float | None:
        """The newest value as a number, Boolean as 0 or 1; None when it cannot be relied on."""
        if self.newest is None or self.stale_from_s is not None or self.bad_from_utc is not None:
            return None
        return float(self.newest.value) if isinstance(self.newest.value, bool) else self.number


class _Condition:
    """One rule on one signal of one equipment, and its channel in the bank of its family."""

    __slots__ = ("channel", "point", "rule", "watch")

    def __init__(self, watch: _Watch, point: _Point, rule: RuleSettings, channel: int) -> None:
        self.watch = watch
        self.point = point
        self.rule = rule
        self.channel = channel


class _Family:
    """All rules that look at the same quantity (value, or rate of change) in one bank."""

    def __init__(self, conditions: list[_Condition], slots: int) -> None:
        self.conditions = conditions
        self.bank = ThresholdBank(
            [
                ThresholdRule(
                    limits=tuple(level.limit for level in condition.rule.levels),
                    above=condition.rule.direction in ("above", "rising"),
                    deadband=condition.rule.deadband,
                    on_delay_s=condition.rule.on_delay_s,
                    off_delay_s=condition.rule.off_delay_s,
                )
                for condition in conditions
            ]
        )
        of_slot: list[list[int]] = [[] for _ in range(slots)]
        for condition in conditions:
            of_slot[condition.point.slot].append(condition.channel)
        width = max((len(channels) for channels in of_slot), default=0)
        self._channels: npt.NDArray[np.int64] = np.full((slots, width), -1, dtype=np.int64)
        for slot, channels in enumerate(of_slot):
            self._channels[slot, : len(channels)] = channels

    def spread(self, slots: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Channels that watch these signals, and for each the place of its signal in `slots`."""
        channels = self._channels[slots]
        rows, columns = np.nonzero(channels >= 0)
        return channels[rows, columns], rows


def _outdated(reading: Reading, newest: Reading, *, bad: bool, late: bool, in_trouble: bool) -> bool:
    """Decide about a reading that is late, or of an earlier source time than the newest: older news or not."""
    if reading.source_time_utc >= newest.source_time_utc:
        # A value read on purpose already showed whatever a late report of before that moment has to say.
        return not bad and newest.confirmed and reading.source_time_utc <= newest.received_utc
    if reading.replayed:
        return True
    if bad:
        # Many sources leave the time of the last good value when they call it bad.
        return False
    if newest.source_time_utc > reading.received_utc:
        # The newest one is from the future: the source's clock was ahead and has been set back.
        return False
    return late or not (in_trouble or newest.quality is Quality.BAD)


def _utc(time_s: float) -> datetime:
    return datetime.fromtimestamp(float(time_s), UTC)


def _detail(condition: _Condition, value: float | None, limit: float, unit: str) -> str:
    point, rule = condition.point, condition.rule
    newest = point.newest
    if value is None:
        if newest is None:
            reason = f"{rule.signal}: not heard since the restart"
        elif point.bad_from_utc is not None:
            reason = _bad_detail(point)
        elif point.stale_from_s is not None:
            reason = f"{rule.signal}: silent"
        else:
            reason = f"{rule.signal}: no number to compare with"
        return f"{reason}; the condition stands until it can be seen again"
    quantity = "rate of change" if rule.direction in ("rising", "falling") else "value"
    shown, side = in_words(value, unit), _SIDE[rule.direction]
    text = f"{rule.signal}: {quantity} {shown}, {side} limit {in_words(limit, unit)}"
    if newest is not None and newest.quality is Quality.UNCERTAIN:
        text += f"; the source calls it uncertain ({newest.status})"
    return text


_SIDE = {"above": "upper", "below": "lower", "rising": "upper", "falling": "lower"}


def _bad_detail(point: _Point) -> str:
    name, newest = point.tag.signal, point.newest
    if newest is None:
        return f"{name}: not heard since the restart"
    if newest.quality is Quality.BAD:
        return f"{name}: {newest.status}"
    if point.bad_from_utc is None:
        return f"{name}: bad before the restart"
    return f"{name}: {newest.value!r} is no measurement, although the source calls it {newest.quality}"


def _stale_detail(point: _Point, started_utc: datetime) -> str:
    newest, allowed = point.newest, f"allowed are {point.tag.stale_after_s:g} s of silence"
    if newest is None:
        return f"{point.tag.signal}: never heard since {started_utc:%Y-%m-%d %H:%M:%S} UTC, {allowed}"
    heard_utc = newest.received_utc if newest.confirmed else newest.source_time_utc
    return f"{point.tag.signal}: last value of {heard_utc:%Y-%m-%d %H:%M:%S} UTC, {allowed}"
