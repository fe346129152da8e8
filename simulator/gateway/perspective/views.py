"""Views at work: components with their trees, embedded views and repeaters, and how the browser sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from simulator.gateway.expressions import rank
from simulator.gateway.perspective.compiled import ComponentPlan, ViewPlan, red_view
from simulator.gateway.perspective.holders import Holder, to_client
from simulator.gateway.perspective.paths import Path, Reference
from simulator.gateway.perspective.security import permits
from simulator.gateway.qualities import GOOD

if TYPE_CHECKING:
    from simulator.gateway.perspective.pages import Page

_DEPTH_LIMIT: Final = 12
_SHOWN: Final = ("props", "position", "meta")
_OWN_OF_INSTANCE: Final = ("instancePosition", "instanceStyle")


class Component(Holder):
    """One component of one view instance."""

    def __init__(self, view: ViewInstance, plan: ComponentPlan, parent: Component | None) -> None:
        super().__init__(view.session, plan.scopes, plan.behaviour, plan.place)
        self.view = view
        self.plan = plan
        self.parent = parent
        self.id = view.session.enter(self)
        self.red = plan.red
        self._overlay: str | None = None
        self._opted_out = {one.target for one in plan.behaviour.bindings if one.overlay_opt_out}
        self.children = [make_component(view, child, self) for child in plan.children]

    @property
    def page(self) -> Page:
        """The page it is on."""
        return self.view.page

    @property
    def handle(self) -> dict[str, Any]:
        return {**self.view.handle, "component": self.id}

    @property
    def name(self) -> str:
        """Its name among its siblings."""
        return str(self.tree.get(("meta", "name")) or self.plan.name)

    def all(self) -> Iterator[Component]:
        """Itself and everything below it in this view."""
        yield self
        for child in self.children:
            yield from child.all()

    def start(self) -> None:
        """Let bindings run, here and below."""
        self.start_bindings()
        for child in self.children:
            child.start()

    def startup(self) -> None:
        """Run the onStartup events."""
        for component in self.all():
            component.page.actions.system(component, "onStartup")

    def close(self) -> None:
        super().close()
        self.session.leave(self.id)
        self.page.outbox.known.discard(self.id)
        for child in self.children:
            child.close()

    def turn_red(self, problem: str | None) -> None:
        """Show a red box in its place, or no longer."""
        if problem != self.red:
            self.red = problem
            self.page.outbox.changed(self, "red")

    def usable(self) -> str | None:
        """None while a person can see and use it, else why not."""
        if self.tree.get(("props", "enabled")) is False:
            return "is disabled"
        component: Component | None = self
        while component is not None:
            if not component.alive or component.red is not None:
                return "is not there"
            if component.tree.get(("meta", "visible")) is False:
                return "is invisible"
            if component.tree.get(("position", "display")) is False:
                return "is not displayed"
            component = component.parent or component.view.host
        return None

    # ── references ────────────────────────────────────────────────────────────────────────────────────────

    def resolve(self, reference: Reference) -> tuple[Holder, Path] | None:
        match reference.world:
            case "this":
                return self, reference.path
            case "route":
                found = self.walk(reference.route)
                return None if found is None else (found, reference.path)
        return self.view.resolve(reference)

    def walk(self, route: tuple[str, ...]) -> Component | None:
        """The component at the end of the way."""
        here: Component | None = self
        for step in route:
            if here is None:
                return None
            if step == "/":
                here = self.view.root
            elif step == "..":
                here = here.parent
            else:
                here = here.child(step)
        return here

    def child(self, name: str) -> Component | None:
        """The child of this name."""
        return next((child for child in self.children if child.name == name), None)

    # ── drawing ───────────────────────────────────────────────────────────────────────────────────────────

    def written(self, path: Path, origin: str) -> None:
        scope = path[0]
        if scope in _SHOWN:
            keys = [path[1]] if len(path) > 1 else list(self.tree.scopes[scope] or ())
            for key in keys:
                if key not in self.unsent:
                    self.page.outbox.changed(self, f"{scope}.{key}")
        overlay = self.overlay()
        if overlay != self._overlay:
            self._overlay = overlay
            self.page.outbox.changed(self, "quality")

    unsent: frozenset[str | int] = frozenset()
    """Properties that the browser has no use for."""

    def overlay(self) -> str | None:
        """The worst quality among the bound properties that are shown, for the overlay."""
        worst = GOOD
        for path, quality in self.tree.qualities.items():
            if path[0] in _SHOWN and path not in self._opted_out and rank(quality) > rank(worst):
                worst = quality
        return None if worst.good else str(worst)

    def shown(self, key: str) -> dict[str, Any]:
        """The entry of a patch for one key."""
        if key == "quality":
            return {"k": key, "v": self.overlay()}
        if key == "red":
            return {"k": key, "v": self.red}
        scope, _, name = key.partition(".")
        values = self.tree.scopes.get(scope)
        if not isinstance(values, dict) or name not in values:
            return {"k": key, "v": None, "gone": True}
        return {"k": key, "v": to_client(values[name])}

    def drawn(self, known: set[int]) -> dict[str, Any]:
        """The node with everything below it."""
        known.add(self.id)
        parent = self.parent or self.view.host
        node: dict[str, Any] = {"id": self.id, "type": self.plan.type, "name": self.name}
        for scope in _SHOWN:
            values = self.tree.scopes.get(scope)
            node[scope] = {
                key: to_client(value)
                for key, value in (values.items() if isinstance(values, dict) else ())
                if key not in self.unsent
            }
        node["parent_kind"] = parent.plan.type.rpartition(".")[2] if parent else None
        node["quality"] = self.overlay()
        node["red"] = self.red
        node["events"] = self._event_names()
        if self.parent is None:
            size = self.view.tree.get(("props", "defaultSize"))
            if isinstance(size, dict):
                node["defaultSize"] = size
        node["children"] = [] if self.red else self._drawn_below(known)
        return node

    def _event_names(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for category, name in self.behaviour.events:
            if category != "system":
                names.setdefault(category, []).append(name)
        return names

    def _drawn_below(self, known: set[int]) -> list[dict[str, Any]]:
        return [child.drawn(known) for child in self.children]

    def drawn_children(self, known: set[int]) -> list[dict[str, Any]]:
        """The whole list of children; those of ``known`` in short."""
        return self._drawn_below(known)


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


def make_component(view: ViewInstance, plan: ComponentPlan, parent: Component | None) -> Component:
    """The component of a plan."""
    match plan.type:
        case "ia.display.view":
            return Embedded(view, plan, parent)
        case "ia.display.flex-repeater":
            return Repeater(view, plan, parent)
    return Component(view, plan, parent)


class ViewInstance(Holder):
    """One instance of a view, on a page or inside a component of another view."""

    kind = "view"

    def __init__(
        self, page: Page, plan: ViewPlan, given: Mapping[str, Any], host: Host | None = None
    ) -> None:
        if not permits(page.session.levels, plan.permissions):
            plan = _forbidden(plan)
        super().__init__(page.session, plan.scopes, plan.behaviour, f"{plan.file} · view")
        self.page = page
        self.plan = plan
        self.host = host
        self.id = f"v{page.session.next_id()}"
        page.session.views[self.id] = self
        self._receive(given)
        self.root = make_component(self, plan.root, None)

    @property
    def handle(self) -> dict[str, Any]:
        return {**self.page.handle, "view": self.id}

    def start(self) -> None:
        """Let it live: bindings first, then the startup events."""
        self.start_bindings()
        self.root.start()
        self.page.actions.system(self, "onStartup")
        self.root.startup()

    def close(self) -> None:
        if not self.alive:
            return
        for component in self.root.all():
            self.page.actions.system(component, "onShutdown")
        self.page.actions.system(self, "onShutdown")
        super().close()
        self.root.close()
        self.session.views.pop(self.id, None)

    def give(self, given: Mapping[str, Any]) -> None:
        """Other input parameters from outside."""
        self._receive(given)

    def _receive(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            declared = self.tree.exists(("params", name)) or name in self.plan.directions
            if declared and self.plan.directions.get(name, "input") != "output":
                self.tree.write(("params", name), value, origin="Parent")

    def written(self, path: Path, origin: str) -> None:
        if path[0] == "params" and len(path) > 1 and origin != "Parent":
            name = str(path[1])
            if isinstance(self.host, Embedded | Repeater) and self.plan.directions.get(name) in (
                "output",
                "inout",
            ):
                self.host.told(self, name, self.tree.get(("params", name)))

    def resolve(self, reference: Reference) -> tuple[Holder, Path] | None:
        match reference.world:
            case "view" | "this":
                return self, reference.path
            case "session":
                return self.session, reference.path
            case "page":
                return self.page, reference.path
            case "route" if reference.route[:1] == ("/",):
                found = self.root.walk(reference.route)
                return None if found is None else (found, reference.path)
        return None


def _forbidden(plan: ViewPlan) -> ViewPlan:
    """Nothing of a view that the session may not see, but a sentence that says so."""
    text = "You are not authorised to see this. Log in with a user who is."
    root = ComponentPlan(
        type="ia.display.label",
        name="root",
        place=f"{plan.file} · root",
        scopes={"props": {"text": text}, "custom": {}, "position": {}, "meta": {"name": "root"}},
    )
    return ViewPlan(
        path=plan.path, file=plan.file, root=root, scopes={"params": {}, "custom": {}, "props": {}}
    )
