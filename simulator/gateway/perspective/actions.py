"""Events and what they do: scripts, navigation, popups, docks, login; checked against plan and permissions."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from simulator.gateway.perspective.bindings import Reader
from simulator.gateway.perspective.catalogue import COMPONENTS
from simulator.gateway.perspective.compiled import Action
from simulator.gateway.perspective.frames import shortened
from simulator.gateway.perspective.holders import Holder
from simulator.gateway.perspective.paths import parse_path
from simulator.gateway.perspective.security import permits

if TYPE_CHECKING:
    from simulator.gateway.perspective.pages import Page
    from simulator.gateway.perspective.views import Component

_log = logging.getLogger("gateway.perspective")
RUN_ACTION: Final = "def runAction(self, event)"
WAITING_LIMIT: Final = 200
"""So many events of one page may wait for their turn."""


SELECTION_LIMIT: Final = 1000
_WHOLE: Final = ("currentTabIndex", "selection.selectedRow", "pager.activePage", "pager.activeOption")


class Actions:
    """What the people at one page do."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._waiting: deque[Coroutine[Any, Any, None]] = deque()
        self._running = False

    # ── from the browser ──────────────────────────────────────────────────────────────────────────────────

    def event(self, component: Component, category: Any, name: Any, event: Any) -> None:
        """A component's event; refused when the component has no such action or cannot be used."""
        what = f"{shortened(category)}.{shortened(name)} of {component.place}"
        actions = component.behaviour.events.get((str(category), str(name)))
        if actions is None or category not in ("component", "dom"):
            self._refuse(f"{what}: there is no such event")
            return
        reason = component.usable()
        if reason is not None:
            self._refuse(f"{what}: the component {reason}")
            return
        given = event if isinstance(event, dict) else {}
        if len(self._waiting) >= WAITING_LIMIT:
            self._refuse(f"{what}: {WAITING_LIMIT} events wait already")
            return
        self._waiting.append(self._run(component, actions, given))
        if not self._running:
            self._begin()

    def _begin(self) -> None:
        self._running = True
        self._page.session.engine.spawn(self._work(), f"events of page {self._page.id}")

    async def _work(self) -> None:
        """One event after the other, as they came. The failure of one is logged and not the others' end."""
        try:
            while self._waiting:
                await self._waiting.popleft()
        finally:
            self._running = False
            if self._waiting:
                self._begin()

    def close(self) -> None:
        """What still waits is not run."""
        while self._waiting:
            self._waiting.popleft().close()

    def set(self, component: Component, path: Any, value: Any) -> None:
        """What a person typed or chose; only the values of inputs."""
        what = f"{shortened(path)} of {component.place}"
        names = COMPONENTS[component.plan.type].inputs if component.plan.type in COMPONENTS else frozenset()
        if not isinstance(path, str) or not path.startswith("props.") or path[6:] not in names:
            self._refuse(f"{what}: is not set by a person")
            return
        reason = (
            component.usable() or component.guarded(parse_path(path)) or _unfit(component, path[6:], value)
        )
        if reason is not None:
            self._refuse(f"{what}: {reason}")
            return
        component.tree.write(parse_path(path), value, origin="BrowserInput")

    def _refuse(self, what: str) -> None:
        _log.warning("refused from the browser, user %r: %s", self._page.session.user_name, what)

    def startup(self, holder: Holder) -> None:
        """Run onStartup of a view or component."""
        actions = holder.behaviour.events.get(("system", "onStartup"))
        if actions:
            work = self._run(holder, actions, {})
            self._page.session.engine.spawn(work, f"onStartup of {holder.place}")

    async def shutdown(self, holder: Holder) -> None:
        """onShutdown of a view or component; it runs also when the session has ended."""
        await self._run(holder, holder.behaviour.events.get(("system", "onShutdown"), ()), {})

    # ── actions ───────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, holder: Holder, actions: tuple[Action, ...], event: dict[str, Any]) -> None:
        session = self._page.session
        for action in actions:
            if session.closed and "onShutdown" not in action.event:
                _log.warning("%s of %s: not run, the session has ended", action.event, holder.place)
                return
            if not permits(session.levels, action.permissions):
                _log.warning(
                    "%s of %s: not run, user %r lacks the permission",
                    action.event,
                    holder.place,
                    session.user_name,
                )
                continue
            if action.kind == "script":
                await session.script(
                    holder,
                    kind="action",
                    signature=RUN_ACTION,
                    code=str(action.config["script"]),
                    arguments={"event": event},
                )
            else:
                self._plain(action.kind, Reader(holder).filled(dict(action.config)), holder)

    def _plain(self, kind: str, config: dict[str, Any], holder: Holder) -> None:
        page = self._page
        match kind:
            case "nav":
                page.go(
                    page=config.get("page"),
                    view=config.get("view"),
                    url=config.get("url"),
                    params=config.get("params"),
                    new_tab=config.get("newTab") is True,
                    place=holder.place,
                )
            case "popup":
                self.popup(str(config.get("type") or "open"), config, holder.place)
            case "dock":
                params = config.get("viewParams", config.get("params"))
                page.dock(str(config.get("type") or "toggle"), str(config.get("id")), params, holder.place)
            case "login":
                self.login()
            case "logout":
                page.session.logout()
            case "refresh":
                page.reload()
            case "theme":
                page.session.set_theme(str(config.get("theme") or config.get("name") or "light"))

    def popup(self, order: str, config: dict[str, Any], place: str) -> None:
        """Open, close or toggle a popup."""
        popup_id = str(config.get("id") or "")
        if order == "toggle":
            order = "close" if popup_id in self._page.popups else "open"
        if order == "close":
            self._page.close_popup(popup_id)
        elif order == "open":
            self._page.open_popup(popup_id, config, place)
        else:
            _log.error("%s: popup type %r is none of open, close, toggle", place, order)

    def login(self) -> None:
        """Send the browser to the login page, from which it returns to this one."""
        page = self._page
        here = page.session.preview.address(page.path)
        page.outbox.say({"t": "goto", "url": f"/idp/login?return={quote(here)}"})


def _unfit(component: Component, name: str, value: Any) -> str | None:
    """Why a person cannot have entered this value; None when they can."""
    kind = component.plan.type
    if name in ("text", "filter.text") and not isinstance(value, str):
        return f"a text is wanted, found {type(value).__name__}"
    if name == "selected" and not isinstance(value, bool):
        return f"true or false is wanted, found {type(value).__name__}"
    if name in _WHOLE and (isinstance(value, bool) or not isinstance(value, int)):
        return f"a whole number is wanted, found {type(value).__name__}"
    if name == "selection.data" and not (isinstance(value, list) and len(value) <= SELECTION_LIMIT):
        return f"a list of at most {SELECTION_LIMIT} rows is wanted, found {type(value).__name__}"
    numeric = kind == "ia.input.numeric-entry-field" and value is not None
    if numeric and (isinstance(value, bool) or not isinstance(value, int | float)):
        return f"a number is wanted, found {type(value).__name__}"
    if kind == "ia.input.dropdown" and value is not None:
        options = component.tree.get(("props", "options"))
        offered = [one.get("value") if isinstance(one, dict) else one for one in options or ()]
        chosen = value if isinstance(value, list) else [value]
        if any(one not in offered for one in chosen):
            return "the value is none of the options"
    return None
