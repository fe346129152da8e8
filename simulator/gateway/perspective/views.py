"""Views at work: components with their trees, embedded views and repeaters, and how the browser sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from simulator.gateway.expressions import rank
from simulator.gateway.perspective.catalogue import SHOWN, undrawn
from simulator.gateway.perspective.compiled import ComponentPlan, ViewPlan
from simulator.gateway.perspective.holders import Holder, to_client
from simulator.gateway.perspective.paths import Path, Reference
from simulator.gateway.perspective.security import permits
from simulator.gateway.qualities import GOOD

if TYPE_CHECKING:
    from simulator.gateway.perspective.hosts import Host
    from simulator.gateway.perspective.pages import Page


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
        self._undrawn = False
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
            component.page.actions.startup(component)

    def close(self) -> None:
        super().close()
        self.page.outbox.forget(self)
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
        if scope in SHOWN:
            keys = [path[1]] if len(path) > 1 else list(self.tree.scopes[scope] or ())
            for key in keys:
                if self._sent(scope, key):
                    self.page.outbox.changed(self, f"{scope}.{key}")
        if scope == "props" and self.plan.red is None:
            problem = undrawn(self.plan.type, self.tree.scopes["props"])
            if problem is not None or self._undrawn:
                self.turn_red(f"{self.place}: {problem}" if problem else None)
            self._undrawn = problem is not None
        overlay = self.overlay()
        if overlay != self._overlay:
            self._overlay = overlay
            self.page.outbox.changed(self, "quality")

    unsent: frozenset[str | int] = frozenset()
    """Properties that the browser has no use for."""

    def _sent(self, scope: str | int, key: str | int) -> bool:
        return key not in self.unsent and self.behaviour.access.get((scope, key)) != "PRIVATE"

    def guarded(self, path: Path) -> str | None:
        """Why the browser may not write the property; None when it may."""
        for length in range(1, len(path) + 1):
            access = self.behaviour.access.get(path[:length])
            if access is not None:
                return f"the property's access is {access}"
        return None

    def overlay(self) -> str | None:
        """The worst quality among the bound properties that are shown, for the overlay."""
        worst = GOOD
        for path, quality in self.tree.qualities.items():
            if path[0] in SHOWN and path not in self._opted_out and rank(quality) > rank(worst):
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
        for scope in SHOWN:
            values = self.tree.scopes.get(scope)
            node[scope] = {
                key: to_client(value)
                for key, value in (values.items() if isinstance(values, dict) else ())
                if self._sent(scope, key)
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


def make_component(view: ViewInstance, plan: ComponentPlan, parent: Component | None) -> Component:
    """The component of a plan."""
    from simulator.gateway.perspective.hosts import Embedded, Repeater

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
        self.page.actions.startup(self)
        self.root.startup()

    def close(self) -> None:
        if not self.alive:
            return
        holders: list[Holder] = [*self.root.all(), self]
        leaving = [one for one in holders if one.behaviour.events.get(("system", "onShutdown"))]
        super().close()
        self.root.close()
        if leaving:
            self.session.farewell(self._say_farewell(leaving), f"onShutdown of {self.place}")
        else:
            self._leave()

    async def _say_farewell(self, holders: list[Holder]) -> None:
        """The scripts still read what they belong to; only then it is gone."""
        try:
            for holder in holders:
                await self.page.actions.shutdown(holder)
        finally:
            self._leave()

    def _leave(self) -> None:
        self.session.views.pop(self.id, None)
        for component in self.root.all():
            self.session.leave(component.id)

    def give(self, given: Mapping[str, Any]) -> None:
        """Other input parameters from outside."""
        self._receive(given)

    def _receive(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            declared = self.tree.exists(("params", name)) or name in self.plan.directions
            if not declared and self.plan.root.red is None:
                giver = self.host.place if self.host else self.place
                self.session.preview.remark(
                    f"{giver}: view {self.plan.path!r} has no parameter {name!r}; it is ignored"
                )
            elif declared and self.plan.directions.get(name, "input") != "output":
                self.tree.write(("params", name), value, origin="Parent")

    def written(self, path: Path, origin: str) -> None:
        if path[0] == "params" and len(path) > 1 and origin != "Parent":
            name = str(path[1])
            if self.host is not None and self.plan.directions.get(name) in ("output", "inout"):
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
        path=plan.path,
        file=plan.file,
        root=root,
        scopes={"params": plan.scopes["params"], "custom": {}, "props": {}},
        directions=plan.directions,
    )
