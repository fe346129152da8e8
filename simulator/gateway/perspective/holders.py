"""What components, views, pages and sessions have in common: a property tree with bindings, and scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final

from simulator.gateway.perspective.compiled import Behaviour
from simulator.gateway.perspective.paths import Path, Reference
from simulator.gateway.perspective.properties import PropertyTree
from simulator.gateway.qualities import QualifiedValue
from simulator.gateway.values import epoch_ms, from_epoch_ms

if TYPE_CHECKING:
    from simulator.gateway.perspective.bindings import Binding
    from simulator.gateway.perspective.sessions import Session

ON_CHANGE: Final = "def valueChanged(self, previousValue, currentValue, origin, missedEvents)"


class Holder:
    """Owner of a property tree. ``alive`` until it is closed."""

    kind = "component"

    def __init__(self, session: Session, scopes: Mapping[str, Any], behaviour: Behaviour, place: str) -> None:
        self.session = session
        self.behaviour = behaviour
        self.place = place
        self.alive = True
        self.tree = PropertyTree(dict(scopes), self._changed)
        self.bindings: list[Binding] = []

    @property
    def zone(self) -> tzinfo:
        """The time zone of the session."""
        return self.session.zone

    @property
    def handle(self) -> dict[str, Any]:
        """How scripts name it."""
        raise NotImplementedError

    def resolve(self, reference: Reference) -> tuple[Holder, Path] | None:
        """Whose property a reference means, seen from here; None when there is nobody."""
        raise NotImplementedError

    def start_bindings(self) -> None:
        """Let the bindings run."""
        from simulator.gateway.perspective.bindings import Binding

        for plan in self.behaviour.bindings:
            binding = Binding(self, plan)
            self.bindings.append(binding)
            binding.start()

    def close(self) -> None:
        """Let go of everything it listens to."""
        self.alive = False
        for binding in self.bindings:
            binding.stop()
        self.bindings.clear()

    def written(self, path: Path, origin: str) -> None:
        """Something changed; what is shown of it may have to be drawn anew."""

    def _changed(self, path: Path, old: Any, new: Any, origin: str) -> None:
        if not self.alive:
            return
        self.written(path, origin)
        if origin != "Binding":
            for binding in self.bindings:
                if binding.plan.bidirectional and _touch(binding.plan.target, path):
                    binding.write_back(origin)
        for watched, code in self.behaviour.on_change.items():
            if _touch(watched, path):
                self._run_change(watched, code, path, old, origin)

    def _run_change(self, watched: Path, code: str, path: Path, old: Any, origin: str) -> None:
        current = self.tree.read(watched)
        previous = old if watched == path else None
        arguments = {
            "previousValue": {"qualified": _qualified(previous, current)},
            "currentValue": {"qualified": _qualified(current.value, current)},
            "origin": origin,
            "missedEvents": False,
        }
        self.session.run_script(self, kind="onChange", signature=ON_CHANGE, code=code, arguments=arguments)


def _qualified(value: Any, like: QualifiedValue) -> dict[str, Any]:
    return {
        "value": to_script(value),
        "quality": quality_line(like),
        "timestamp": {"date": epoch_ms(like.at_utc)},
    }


def quality_line(value: QualifiedValue) -> Any:
    """A quality for the line to the scripts."""
    quality = value.quality
    return [quality.name, quality.diagnostic] if quality.diagnostic else quality.name


def _touch(one: Path, other: Path) -> bool:
    return one[: len(other)] == other[: len(one)]


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: change(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [change(entry) for entry in value]
    return value


def to_script(value: Any) -> Any:
    """A value for the line to the scripts: dates as ``{"date": ms}``."""
    if hasattr(value, "utcoffset"):
        return {"date": epoch_ms(value)}
    return _mapped(value, to_script)


def from_script(value: Any) -> Any:
    """A value from the line; ``{"date": ms}`` becomes a moment."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("date"), int):
        return from_epoch_ms(value["date"])
    return _mapped(value, from_script)


def to_client(value: Any) -> Any:
    """A value for the browser: dates as milliseconds, datasets as lists of objects."""
    if hasattr(value, "utcoffset"):
        return epoch_ms(value)
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return None  # JSON knows no such number
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("dataset"), dict):
        dataset = value["dataset"]
        names = [column["name"] for column in dataset.get("columns", ())]
        return [dict(zip(names, map(to_client, row), strict=False)) for row in dataset.get("rows", ())]
    return _mapped(value, to_client)
