"""Components that show other views: the embedded view, and the repeater with its instances."""

from __future__ import annotations

from typing import Any, Final

from simulator.gateway.perspective.compiled import ComponentPlan, red_view
from simulator.gateway.perspective.paths import Path
from simulator.gateway.perspective.views import Component, ViewInstance

_DEPTH_LIMIT: Final = 12
_OWN_OF_INSTANCE: Final = ("instancePosition", "instanceStyle")


class Host(Component):
    """A component that shows instances of other views; it is evaluated when what it shows is another."""

    unsent = frozenset({"params", "instances"})

    def __init__(self, view: ViewInstance, plan: ComponentPlan, parent: Component | None) -> None:
        super().__init__(view, plan, parent)
        self.inner: list[ViewInstance] = []

    def start(self) -> None:
        super().start()
        self.session.engine.wake(self)

    def close(self) -> None:
        super().close()
        self.session.engine.forget(self)
        self._drop(0)

    def written(self, path: Path, origin: str) -> None:
        super().written(path, origin)
        if path[0] == "props" and origin != "Output":
            self.session.engine.wake(self)

    def stop_cycle(self) -> None:
        """Its views change what it shows of them, over and over."""
        self.turn_red(f"{self.place}: the parameters of its views never come to rest")

    def told(self, view: ViewInstance, name: str, value: Any) -> None:
        """The view changed an output parameter."""
        raise NotImplementedError

    def wanted(self) -> list[Any]:
        """The parameters of each instance that should be there; what is no object is an error of its own."""
        raise NotImplementedError

    def evaluate(self) -> None:
        """Make the instances what they should be, reusing what is there."""
        if not self.alive or self.plan.red is not None:
            return
        path, wanted = self.tree.get(("props", "path")), self.wanted()
        wrong = [type(one).__name__ for one in wanted if not isinstance(one, dict)]
        if wrong:
            self.turn_red(f"{self.place}: parameters of a view are an object, found {wrong[0]}")
            return
        if not isinstance(path, str) or not path:
            wanted = []
        self.turn_red(None)
        before = list(self.inner)
        if self.inner and self.inner[0].plan.path != path:
            self._drop(0)
        self._drop(len(wanted))
        for number, given in enumerate(wanted):
            given = {key: value for key, value in given.items() if key not in _OWN_OF_INSTANCE}
            if number < len(self.inner):
                self.inner[number].give(given)
            else:
                self._add(str(path), given)
        if before != self.inner or self.instances_differ():
            self.page.outbox.children(self)

    def instances_differ(self) -> bool:
        """Whether position or style of an instance are to be told anew."""
        return False

    def _add(self, path: str, given: dict[str, Any]) -> None:
        depth = 0
        host: Component | None = self
        while host is not None:
            depth += 1
            host = host.view.host
        plan = self.session.preview.view_plan(path)
        if plan is None:
            plan = red_view(path, f"{self.place}: there is no view {path!r}")
        elif depth > _DEPTH_LIMIT:
            plan = red_view(path, f"{self.place}: views embed each other deeper than {_DEPTH_LIMIT}")
        view = ViewInstance(self.page, plan, given, self)
        self.inner.append(view)
        view.start()

    def _drop(self, keep: int) -> None:
        for view in self.inner[keep:]:
            view.close()
        del self.inner[keep:]

    def _drawn_below(self, known: set[int]) -> list[dict[str, Any]]:
        return [view.root.drawn(known) for view in self.inner]

    def drawn_children(self, known: set[int]) -> list[dict[str, Any]]:
        return [
            {"id": view.root.id, "keep": True} if view.root.id in known else view.root.drawn(known)
            for view in self.inner
        ]


class Embedded(Host):
    """``ia.display.view``."""

    def wanted(self) -> list[Any]:
        params = self.tree.get(("props", "params"))
        return [{} if params is None else params]

    def told(self, view: ViewInstance, name: str, value: Any) -> None:
        """The view changed an output parameter."""
        self.tree.write(("props", "params", name), value, origin="Output")


class Repeater(Host):
    """``ia.display.flex-repeater``."""

    _told: list[Any] | None = None

    def wanted(self) -> list[Any]:
        instances = self.tree.get(("props", "instances"))
        if instances is None:
            return []
        return instances if isinstance(instances, list) else [instances]

    def _own(self) -> list[dict[str, Any]]:
        return [
            {"style": one.get("instanceStyle") or {}, "position": one.get("instancePosition") or {}}
            for one in self.wanted()
            if isinstance(one, dict)
        ]

    def instances_differ(self) -> bool:
        own = self._own()
        told, self._told = self._told, own
        return told is not None and told != own

    def _with_own(self, nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        own = self._own()
        return [
            {**node, "instance": own[number] if number < len(own) else {}}
            for number, node in enumerate(nodes)
        ]

    def _drawn_below(self, known: set[int]) -> list[dict[str, Any]]:
        return self._with_own(super()._drawn_below(known))

    def drawn_children(self, known: set[int]) -> list[dict[str, Any]]:
        return self._with_own(super().drawn_children(known))

    def told(self, view: ViewInstance, name: str, value: Any) -> None:
        """The view changed an output parameter."""
        if view in self.inner:
            place = ("props", "instances", self.inner.index(view), name)
            self.tree.write(place, value, origin="Output")
