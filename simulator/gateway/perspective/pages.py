"""Pages: one browser tab each, with its view, docks and popups, and the frames that keep it up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from simulator.gateway.perspective.actions import Actions
from simulator.gateway.perspective.compiled import Behaviour, red_view
from simulator.gateway.perspective.frames import nested_deeper, shortened
from simulator.gateway.perspective.holders import Holder
from simulator.gateway.perspective.outbox import Frame, Outbox
from simulator.gateway.perspective.paths import Path, Reference
from simulator.gateway.perspective.resources import Dock
from simulator.gateway.perspective.views import Component, ViewInstance

if TYPE_CHECKING:
    from simulator.gateway.perspective.sessions import Session

_log = logging.getLogger("gateway.perspective")
LINGER_S: Final = 30.0
"""So long a page lives without its browser."""
NESTING_LIMIT: Final = 30
"""Nothing that a person enters is nested deeper."""
_PATH_LIMIT: Final = 2000


@dataclass(eq=False)
class Popup:
    """An open popup."""

    id: str
    view: ViewInstance
    head: dict[str, Any]

    def drawn(self, known: set[int]) -> dict[str, Any]:
        """As the browser gets it."""
        return {"id": self.id, **self.head, "node": self.view.root.drawn(known)}


class Page(Holder):
    """One page of one session."""

    kind = "page"

    def __init__(self, session: Session, page_id: str, path: str) -> None:
        self.id = page_id
        self.path = "/"
        self.outbox = Outbox(self._drawn)
        self.actions = Actions(self)
        self.popups: dict[str, Popup] = {}
        self._docks: list[tuple[Dock, ViewInstance]] = []
        self._title = ""
        self._attached = 0
        self._connection = 0
        self._replaced = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        super().__init__(
            session,
            {"props": {"path": path, "pageId": page_id, "primaryView": ""}, "custom": {}},
            Behaviour(),
            f"page {page_id}",
        )
        self._view = self._view_of("", {}, "page-config/config.json")
        self._show(path)
        self._linger()

    @property
    def handle(self) -> dict[str, Any]:
        return {"session": self.session.id, "page": self.id, "view": None, "component": None}

    def resolve(self, reference: Reference) -> tuple[Holder, Path] | None:
        if reference.world in ("page", "this"):
            return self, reference.path
        return (self.session, reference.path) if reference.world == "session" else None

    def components(self) -> list[Component]:
        """Every component that is on it, also in docks and popups."""
        return [one for one in self.session.components.values() if one.page is self and one.alive]

    # ── the browser ───────────────────────────────────────────────────────────────────────────────────────

    def attach(self) -> int:
        """A browser has come; it gets the whole page. Whoever was there before is replaced."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._replaced.set()
        self._replaced = asyncio.Event()
        self._connection += 1
        self._attached = self._connection
        self.session.engine.settle()
        self.outbox.page()
        return self._connection

    async def detached(self, connection: int) -> None:
        """Wait until another browser takes the page over."""
        while self._attached == connection:
            await self._replaced.wait()

    async def take(self, connection: int) -> list[Frame] | None:
        """What this connection's browser is to be told; None when another has come in its place.

        Two connections may wait at once: the one before may not know yet that its wire is cut.
        """
        await self.outbox.ready()
        return self.outbox.drain() if self._attached == connection else None

    def detach(self, connection: int) -> None:
        """The browser has gone; the page waits a while for it."""
        if self._attached == connection:
            self._attached = 0
            self._linger()

    def hang_up(self) -> None:
        """End the connection; the browser comes again, with the cookie that it has by then."""
        if self._attached:
            self._attached = 0
            self._replaced.set()
            self._linger()

    def _linger(self) -> None:
        if self.alive and not self.session.closed:
            self._timer = self.session.engine.later(LINGER_S, self.close)

    def receive(self, message: dict[str, Any]) -> None:
        """A frame of the browser. What it asks for is checked; it is never believed."""
        if self.session.closed or not self.alive:
            _log.warning("a frame of an ended session was refused: %s", shortened(message.get("t")))
            return
        if nested_deeper(message, NESTING_LIMIT):
            _log.warning("refused from the browser: a frame nested deeper than %d", NESTING_LIMIT)
            return
        self.session.touched()
        kind, component = message.get("t"), None
        if kind in ("event", "set"):
            number = message.get("id")
            found = self.session.components.get(number) if type(number) is int else None
            if found is None or found.page is not self or not found.alive:
                _log.warning(
                    "refused from the browser: %s of component %s, which is not there",
                    kind,
                    shortened(number),
                )
                return
            component = found
        if component is not None and kind == "event":
            self.actions.event(component, message.get("category"), message.get("name"), message.get("event"))
        elif component is not None:
            self.actions.set(component, message.get("path"), message.get("value"))
        elif kind == "nav":
            self.go(page=message.get("path"), place="address bar")
        elif kind == "popup-closed":
            if not self._forget_popup(str(message.get("id"))):
                what = shortened(message.get("id"))
                _log.warning("refused from the browser: closing popup %s, which is not open", what)
        else:
            _log.warning("refused from the browser: a frame of kind %s", shortened(kind))

    # ── navigation ────────────────────────────────────────────────────────────────────────────────────────

    def go(
        self,
        *,
        page: Any = None,
        view: Any = None,
        url: Any = None,
        params: Any = None,
        new_tab: bool = False,
        place: str,
    ) -> None:
        """Navigate to a page path, a view, or an address outside."""
        if self._over(place):
            return
        if isinstance(url, str) and url:
            if _is_web_address(url):
                self.outbox.say({"t": "goto", "url": url, "newTab": new_tab})
            else:
                _log.warning("%s: navigation to %s refused", place, shortened(url))
        elif isinstance(view, str) and view and new_tab:
            _log.warning("%s: navigation to view %s in a new tab refused: a tab wants a page", place, view)
        elif isinstance(view, str) and view:
            given = params if isinstance(params, dict) else {}
            self._replace_view(self._view_of(view, given, place), view)
            self.outbox.page()
        elif isinstance(page, str) and 0 < len(page) <= _PATH_LIMIT:
            path = "/" + page.partition("?")[0].partition("#")[0].strip("/")
            if new_tab:
                self.outbox.say({"t": "goto", "url": self.session.preview.address(path), "newTab": True})
                return
            self.outbox.say({"t": "nav", "path": path})
            self._show(path)
            self.outbox.page()
        else:
            _log.warning("%s: navigation to nowhere refused", place)

    def _over(self, place: str) -> bool:
        """Whether the page has ended; a script that was still at work changes nothing on it."""
        if not self.alive:
            _log.warning("%s: not done, the page has ended", place)
        return not self.alive

    def reload(self) -> None:
        """Everything anew, docks too; for a refresh and for other rights."""
        if self._over(self.place):
            return
        for _, dock in self._docks:
            dock.close()
        self._docks = []
        for popup in list(self.popups):
            self.close_popup(popup)
        self._show(self.path)
        self.outbox.page()

    def _show(self, path: str) -> None:
        self.path = path
        self.tree.write(("props", "path"), path, origin="Nav")
        resources = self.session.preview.resources
        if not self.session.permitted:
            self._docks = []
            self._title = "Log in"
            self._replace_view(self._forbidden(), "")
            return
        found = resources.page_at(path)
        docks = resources.docks
        if found is None:
            self._title = "No such page"
            what = f"com.inductiveautomation.perspective/page-config/config.json · there is no page {path}"
            self._replace_view(ViewInstance(self, red_view("", what), {}), "")
        else:
            page, parameters = found
            self._title = page.title
            self._replace_view(
                self._view_of(page.view_path, parameters, f"page {page.pattern}"), page.view_path
            )
            docks = (*docks, *page.docks)
        self._keep_docks(docks)
        self.session.engine.settle()

    def _keep_docks(self, wanted: tuple[Dock, ...]) -> None:
        open_before = dict(self._docks)
        self._docks = [
            (dock, open_before.pop(dock) if dock in open_before else self._started(dock)) for dock in wanted
        ]
        for view in open_before.values():
            view.close()

    def dock(self, order: str, dock_id: str, params: Any, place: str) -> None:
        """Open, close or toggle a dock, and hand parameters to its view."""
        view = next((view for dock, view in self._docks if dock.id == dock_id), None)
        if view is None or order not in ("open", "close", "toggle"):
            known = ", ".join(dock.id for dock, _ in self._docks) or "none"
            _log.error(
                "%s: %s of dock %r: there are open, close, toggle; docks here: %s",
                place,
                order,
                dock_id,
                known,
            )
            return
        view.give(params if isinstance(params, dict) else {})
        self.outbox.say({"t": "dock", "id": dock_id, "do": order})

    def _started(self, dock: Dock) -> ViewInstance:
        view = self._view_of(dock.view_path, dock.view_params, f"dock {dock.id}")
        view.start()
        return view

    def _forbidden(self) -> ViewInstance:
        return ViewInstance(self, red_view("", "This project wants you to log in first: /idp/login"), {})

    def _replace_view(self, view: ViewInstance, name: str) -> None:
        self._view.close()
        self._view = view
        self.tree.write(("props", "primaryView"), name, origin="Nav")
        view.start()

    def _view_of(self, path: str, given: Mapping[str, Any], place: str) -> ViewInstance:
        plan = self.session.preview.view_plan(path)
        if plan is None:
            plan = red_view(path, f"{place} · there is no view {path!r}")
        return ViewInstance(self, plan, given)

    # ── popups ────────────────────────────────────────────────────────────────────────────────────────────

    def open_popup(self, popup_id: str, config: Mapping[str, Any], place: str) -> None:
        """Open a popup; one of the same id gives way."""
        if self._over(place):
            return
        for name in ("resizable", "viewPortBound", "viewportBound", "position"):
            if config.get(name):
                self.session.preview.remark(f"{place}: popup {popup_id!r}: the preview ignores {name}")
        path = str(config.get("viewPath") or config.get("view") or "")
        params = config.get("viewParams", config.get("params"))
        if popup_id in self.popups:
            self.close_popup(popup_id)
        view = self._view_of(path, params if isinstance(params, dict) else {}, place)
        popup = Popup(
            popup_id,
            view,
            {
                "title": str(config.get("title") or ""),
                "modal": config.get("modal") is True,
                "draggable": config.get("draggable") is not False,
                "showCloseIcon": config.get("showCloseIcon") is not False,
                "overlayDismiss": config.get("overlayDismiss") is True,
            },
        )
        self.popups[popup_id] = popup
        view.start()
        self.session.engine.settle()
        self.outbox.say(lambda: self._drawn_popup(popup), on_page=True)

    def close_popup(self, popup_id: str) -> None:
        """Close a popup; without an id the last one."""
        if not popup_id and self.popups:
            popup_id = next(reversed(self.popups))
        if self._forget_popup(popup_id):
            self.outbox.say({"t": "popup", "do": "close", "id": popup_id}, on_page=True)

    def _forget_popup(self, popup_id: str) -> bool:
        popup = self.popups.pop(popup_id, None)
        if popup is not None:
            popup.view.close()
        return popup is not None

    def _drawn_popup(self, popup: Popup) -> Frame | None:
        if self.popups.get(popup.id) is not popup or popup.view.root.id in self.outbox.known:
            return None
        return {"t": "popup", "do": "open", "popup": popup.drawn(self.outbox.known)}

    # ── drawing ───────────────────────────────────────────────────────────────────────────────────────────

    def _drawn(self, known: set[int]) -> Frame:
        return {
            "t": "page",
            "page": self.id,
            "path": self.path,
            "title": self._title,
            "theme": self.session.theme,
            "css": self.session.preview.resources.css,
            "view": self._view.root.drawn(known),
            "docks": [{**dock.head, "node": view.root.drawn(known)} for dock, view in self._docks],
            "popups": [popup.drawn(known) for popup in self.popups.values()],
            "user": self.session.user_name,
        }

    def close(self) -> None:
        """The page is over."""
        if not self.alive:
            return
        if self._timer is not None:
            self._timer.cancel()
        for popup in list(self.popups):
            self._forget_popup(popup)
        for _, view in self._docks:
            view.close()
        self._view.close()
        self.actions.close()
        super().close()
        self.session.page_closed(self)


def _is_web_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("", "http", "https")
    except ValueError:
        return False
