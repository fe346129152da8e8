"""A binding at work: reads its source, runs its transforms, writes its property, and again when woken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from simulator.gateway.expressions import Expression, Scope
from simulator.gateway.perspective.compiled import parse_texts
from simulator.gateway.perspective.compiled_bindings import BindingPlan, Transform
from simulator.gateway.perspective.holders import Holder, from_script, quality_line, to_script
from simulator.gateway.perspective.paths import Path, look, parse_reference
from simulator.gateway.perspective.polling import SharedQuery
from simulator.gateway.perspective.security import has_levels
from simulator.gateway.perspective.transforms import transform
from simulator.gateway.qualities import GOOD, QualifiedValue, Quality
from simulator.gateway.values import epoch_ms

TRANSFORM: Final = "def transform(self, value, quality, timestamp)"
_NOT_FOUND: Final = "Bad_NotFound"
_LONGEST_S: Final = 86_400.0


class Reader:
    """Reads references as seen from one holder, and what expressions ask about the session."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.value: Any = None
        self._found: dict[str, tuple[Holder, Path]] = {}

    def read(self, text: str) -> QualifiedValue:
        """What a reference in braces shows now."""
        reference = parse_reference(text)
        if reference.world == "tag":
            return self.holder.session.preview.tags.read(reference.text)
        if reference.world == "value":
            found, value = look(self.value, reference.path)
            quality = GOOD if found else Quality(_NOT_FOUND, f"the value has no {text}")
            return QualifiedValue(value=value, quality=quality, at_utc=datetime.now(UTC))
        place = self.place(text)
        if place is None:
            quality = Quality(_NOT_FOUND, f"there is no {text}")
            return QualifiedValue(value=None, quality=quality, at_utc=datetime.now(UTC))
        return place[0].tree.read(place[1])

    def place(self, text: str) -> tuple[Holder, Path] | None:
        """Whose property the reference is."""
        known = self._found.get(text)
        if known is None or not known[0].alive:
            known = self.holder.resolve(parse_reference(text))
            if known is not None:
                self._found[text] = known
        return known

    def worth(self, expression: Expression) -> tuple[Any, Quality]:
        """An expression's value and quality."""
        return expression.evaluate(self.read, self)

    def filled(self, value: Any) -> Any:
        """A configuration with its references replaced: a text that is one reference by the value itself."""
        if isinstance(value, dict):
            return {key: self.filled(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self.filled(entry) for entry in value]
        if not isinstance(value, str) or "{" not in value:
            return value
        pieces = parse_texts(value)
        if len(pieces) == 3 and pieces[0] == pieces[2] == "":
            return self.read(pieces[1]).value
        for place in range(1, len(pieces), 2):
            found = self.read(pieces[place]).value
            pieces[place] = "" if found is None else str(found)
        return "".join(pieces)

    # what expressions ask

    @property
    def zone(self) -> tzinfo:
        """The session's time zone."""
        return self.holder.zone

    def every(self, rate_ms: int) -> None:
        """Outside a binding nothing is evaluated again."""

    def authorized(self, levels: list[str], *, all_of: bool) -> bool:
        """Whether the session holds the levels."""
        return has_levels(self.holder.session.levels, levels, all_of=all_of)

    def has_role(self, role: str) -> bool:
        """Whether the session's user has the role."""
        user = self.holder.session.user
        return user is not None and role in user.roles


class Binding(Reader):
    """One binding of one holder."""

    def __init__(self, holder: Holder, plan: BindingPlan) -> None:
        super().__init__(holder)
        self.plan = plan
        self._engine = holder.session.engine
        self._ends: list[Callable[[], None]] = []
        self._tag = ""
        self._end_tag: Callable[[], None] | None = None
        self._query: SharedQuery | None = None
        self._joined: tuple[Any, float] | None = None
        self._running = False
        self._again = False
        self._stopped = False

    def start(self) -> None:
        """Listen to everything that is read, and evaluate for the first time."""
        for text in self.plan.references():
            reference = parse_reference(text)
            if reference.world == "tag":
                self._ends.append(self.holder.session.preview.tags.watch(reference.text, self))
                continue
            place = self.place(text) if reference.world != "value" else None
            if place is not None:
                self._ends.append(place[0].tree.watch(place[1], self))
        if self.plan.functions() & {"isAuthorized", "hasRole"}:
            self._ends.append(self.holder.session.tree.watch(("props", "auth"), self))
        self.wake()

    def stop(self) -> None:
        """Listen no more."""
        self._stopped = True
        self._engine.forget(self)
        for end in self._ends:
            end()
        if self._end_tag is not None:
            self._end_tag()
        self._leave_query()

    def wake(self) -> None:
        """Something it read is another."""
        self._engine.wake(self)

    def refresh(self) -> None:
        """As ``refreshBinding``: a query runs anew, everything else is evaluated once more."""
        if self._query is not None:
            self.holder.session.preview.poller.refresh(self._query)
        else:
            self.wake()

    def every(self, rate_ms: int) -> None:
        """``now()``: evaluate again after so long."""
        self._engine.every(rate_ms, self)

    def stop_cycle(self) -> None:
        """It reads itself."""
        self._show(None, Quality("Error_ExpressionEval", "the binding reads itself"))

    def evaluate(self) -> None:
        """Read the source, then what follows."""
        if self._stopped:
            return
        source = self._source()
        if source is None:  # a query that has not answered yet: the property keeps its default
            return
        value, quality, at_utc = source
        if value is None and not quality.good:
            self._show(None, quality)
        elif any(step.kind == "script" for step in self.plan.transforms):
            if self._running:
                self._again = True
                return
            self._running = True
            self._engine.spawn(self._transform(value, quality, at_utc), f"transform of {self.holder.place}")
        else:
            for step in self.plan.transforms:
                value, quality = self._step(step, value, quality)
            self._show(value, quality)

    def write_back(self, origin: str) -> None:
        """The property was changed by a person or script; what it is bound to follows."""
        value = self.holder.tree.get(self.plan.target)
        if self.plan.kind == "property":
            place = self.place(str(self.plan.config["path"]))
            if place is not None:
                place[0].tree.write(place[1], value, origin=origin)
        elif self.plan.kind == "tag" and self._tag:
            self.holder.session.write_tag(self._tag, value, self.holder.place)

    # ── sources ───────────────────────────────────────────────────────────────────────────────────────────

    def _source(self) -> tuple[Any, Quality, datetime] | None:
        match self.plan.kind:
            case "property":
                found = self.read(str(self.plan.config["path"]))
                return found.value, found.quality, found.at_utc
            case "tag":
                return self._read_tag()
            case "query":
                return self._read_query()
            case "expr":
                value, quality = self._worth_of("expression")
                return value, quality, datetime.now(UTC)
        return self._read_struct()

    def _worth_of(self, key: str) -> tuple[Any, Quality]:
        """One of the plan's expressions."""
        return self.worth(self.plan.expressions[key])

    def _read_struct(self) -> tuple[Any, Quality, datetime] | None:
        worst = Scope(self.read, self)
        values = {}
        for key in self.plan.expressions:
            values[key], quality = self._worth_of(key)
            worst.take_on(quality)
        return values, worst.worst, datetime.now(UTC)

    def _read_tag(self) -> tuple[Any, Quality, datetime]:
        config = self.plan.config
        path, quality = str(config["tagPath"]), GOOD
        match config.get("mode", "direct"):
            case "expression":
                found, quality = self._worth_of("tagPath")
                path = found if isinstance(found, str) else ""
            case "indirect":
                for key in config.get("references") or ():
                    part, worse = self._worth_of(f"references.{key}")
                    quality = quality if worse.good else worse
                    path = path.replace("{" + key + "}", "" if part is None else str(part))
        if not quality.good or not path:
            return (
                None,
                Quality(_NOT_FOUND, "the tag path is empty") if quality.good else quality,
                datetime.now(UTC),
            )
        tags = self.holder.session.preview.tags
        if path != self._tag:
            if self._end_tag is not None:
                self._end_tag()
            self._tag, self._end_tag = path, tags.watch(path, self)
        shown = tags.read(path)
        return shown.value, shown.quality, shown.at_utc

    def _read_query(self) -> tuple[Any, Quality, datetime] | None:
        config = self.plan.config
        parameters: dict[str, Any] = {}
        for key in config.get("parameters") or ():
            parameters[key], quality = self._worth_of(f"parameters.{key}")
            if not quality.good and parameters[key] is None:
                self._leave_query()
                return None, quality, datetime.now(UTC)
        rate = 0.0
        if "rate" in self.plan.expressions:
            found, quality = self._worth_of("rate")
            rate = float(min(found, _LONGEST_S)) if isinstance(found, int | float) and quality.good else 0.0
        if self._query is None or self._joined != (parameters, rate):
            before = self._query
            self._query = self.holder.session.preview.poller.join(
                str(config["queryPath"]), parameters, rate, self
            )
            if before is not None and before is not self._query:
                self.holder.session.preview.poller.leave(before, self)
            self._joined = (parameters, rate)
        query = self._query
        if query.error is not None:
            return None, Quality("Bad_Failure", query.error), datetime.now(UTC)
        if query.answer is None:
            return None
        return query.value(str(config.get("returnFormat", "auto"))), GOOD, datetime.now(UTC)

    def _leave_query(self) -> None:
        if self._query is not None:
            self.holder.session.preview.poller.leave(self._query, self)
        self._query = self._joined = None

    # ── transforms ────────────────────────────────────────────────────────────────────────────────────────

    def _step(self, step: Transform, value: Any, quality: Quality) -> tuple[Any, Quality]:
        self.value = value
        changed, own = transform(step, value, self.worth, self.zone)
        return changed, quality if own.good else own

    async def _transform(self, value: Any, quality: Quality, at_utc: datetime) -> None:
        try:
            for step in self.plan.transforms:
                if step.kind == "script":
                    value, quality = await self._script(step, value, quality, at_utc)
                else:
                    value, quality = self._step(step, value, quality)
                if value is None and not quality.good:
                    break
        finally:
            self._running = False
        if self._again and not self._stopped:
            self._again = False
            self.wake()
        self._show(value, quality)

    async def _script(
        self, step: Transform, value: Any, quality: Quality, at_utc: datetime
    ) -> tuple[Any, Quality]:
        arguments = {
            "value": to_script(value),
            "quality": quality_line(QualifiedValue(value=None, quality=quality, at_utc=at_utc)),
            "timestamp": {"date": epoch_ms(at_utc)},
        }
        answer = await self.holder.session.script(
            self.holder,
            kind="transform",
            signature=TRANSFORM,
            code=str(step.config["code"]),
            arguments=arguments,
        )
        if answer.error is not None:
            return None, Quality("Error_ScriptEval", answer.error)
        return from_script(answer.value), quality

    def _show(self, value: Any, quality: Quality) -> None:
        if not self._stopped and self.holder.alive:
            self.holder.tree.write(self.plan.target, value, quality, origin="Binding")
