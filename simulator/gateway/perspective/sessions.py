"""A Perspective session: one for each browser, with its user, its pages and its properties."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simulator.gateway.perspective.compiled import Behaviour
from simulator.gateway.perspective.engine import Engine
from simulator.gateway.perspective.holders import Holder
from simulator.gateway.perspective.pages import Page
from simulator.gateway.perspective.paths import Path, Reference
from simulator.gateway.perspective.resources import Handler
from simulator.gateway.perspective.security import User, auth_of, levels_of, permits
from simulator.gateway.perspective.views import Component, ViewInstance
from simulator.gateway.scripting import QueryAnswer, ScriptAnswer, ScriptDied
from simulator.gateway.tags import TagError
from simulator.gateway.values import epoch_ms

if TYPE_CHECKING:
    from simulator.gateway.perspective.preview import Preview

_log = logging.getLogger("gateway.perspective")
LINGER_S: Final = 60.0
"""So long a session lives without a page."""
PAGE_LIMIT: Final = 50
ENDED: Final = "Your session has ended. Load the page to start a new one."


class Scripts(Protocol):
    """What sessions need of the JVM."""

    async def query(self, path: str, parameters: Mapping[str, Any]) -> QueryAnswer: ...

    async def script(
        self,
        *,
        kind: str,
        signature: str,
        code: str,
        file: str,
        handle: Mapping[str, Any],
        arguments: Mapping[str, Any] | None = None,
        session: str | None = None,
        page: str | None = None,
    ) -> ScriptAnswer: ...


class Session(Holder):
    """One browser's session. ``renew`` at login, ``close`` at its end."""

    kind = "session"

    def __init__(self, preview: Preview, session_id: str) -> None:
        self.preview = preview
        self.id = session_id
        self.cookie = secrets.token_urlsafe(32)
        self.user: User | None = None
        self.closed = False
        self.engine = Engine()
        self.pages: dict[str, Page] = {}
        self.components: dict[int, Component] = {}
        self.views: dict[str, ViewInstance] = {}
        self.levels = levels_of(None)
        self.began_utc = self.touched_utc = datetime.now(UTC)
        self._ids = itertools.count(1)
        self.departed: dict[str, Page] = {}
        """Closed pages whose onShutdown scripts are still at work; scripts may read them."""
        self._farewells = 0
        self._all_left = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._zone: tzinfo = UTC
        declared = preview.resources.session
        super().__init__(self, _session_scopes(declared, session_id), Behaviour(), f"session {session_id}")
        self._linger()

    @property
    def handle(self) -> dict[str, Any]:
        return {"session": self.id, "page": None, "view": None, "component": None}

    @property
    def zone(self) -> tzinfo:
        return self._zone

    @property
    def user_name(self) -> str:
        """Who is logged in, or an empty text."""
        return self.user.name if self.user else ""

    @property
    def theme(self) -> str:
        """The name of the theme."""
        return str(self.tree.get(("props", "theme")) or "light")

    @property
    def permitted(self) -> bool:
        """Whether the project's session permissions let it in."""
        return permits(self.levels, self.preview.resources.permissions)

    def resolve(self, reference: Reference) -> tuple[Holder, Path] | None:
        return (self, reference.path) if reference.world in ("session", "this") else None

    def next_id(self) -> int:
        """A number that nothing else in this session has."""
        return next(self._ids)

    def enter(self, component: Component) -> int:
        """A new component; its id."""
        number = self.next_id()
        self.components[number] = component
        return number

    def leave(self, number: int) -> None:
        """The component is gone."""
        self.components.pop(number, None)

    def touched(self) -> None:
        """The person did something."""
        self.touched_utc = datetime.now(UTC)

    def written(self, path: Path, origin: str) -> None:
        if path[:2] == ("props", "theme"):
            for page in self.pages.values():
                page.outbox.say({"t": "theme", "name": self.theme})
        if path[:2] == ("props", "timeZoneId"):
            self._take_zone(self.tree.get(path))

    def _take_zone(self, name: Any) -> None:
        try:
            self._zone = ZoneInfo(str(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            _log.warning("time zone %r is not known", name)

    def set_theme(self, name: str) -> None:
        """Another theme on all pages."""
        self.tree.write(("props", "theme"), name)

    # ── pages ─────────────────────────────────────────────────────────────────────────────────────────────

    def page_for(self, hello: Mapping[str, Any]) -> Page:
        """The page that a browser comes back to, or a new one."""
        path = hello.get("path")
        path = path if isinstance(path, str) and len(path) < 2000 else "/"
        known = self.pages.get(str(hello.get("page")))
        if known is not None:
            if known.path != path:
                known.go(page=path, place="address bar")
            return known
        return self.open_page(path, hello)

    def open_page(self, path: str, hello: Mapping[str, Any] | None = None) -> Page:
        """A new page. The oldest gives way when there are too many."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self.pages) >= PAGE_LIMIT:
            oldest = next(iter(self.pages.values()))
            oldest.outbox.say(
                {"t": "closed", "why": f"More than {PAGE_LIMIT} pages are open; this was the oldest."}
            )
            oldest.close()
        first = not self.pages and self.preview.is_new(self)
        if hello is not None:
            self.tree.write(("props", "device"), _device(hello), origin="Browser")
        page_id = secrets.token_hex(8)
        page = Page(self, page_id, "/" + path.partition("?")[0].strip("/"))
        self.pages[page_id] = page
        if first:
            self.run_event(self, "startup")
        self.run_event(page, "page-startup")
        return page

    def page_closed(self, page: Page) -> None:
        """The page is over; the session after a while, if it was the last."""
        self.pages.pop(page.id, None)
        if self._farewells:
            self.departed[page.id] = page
        if not self.pages:
            self._linger()

    def _linger(self) -> None:
        if not self.closed and self._timer is None:
            self._timer = self.engine.later(LINGER_S, lambda: self.end(ENDED))

    # ── user ──────────────────────────────────────────────────────────────────────────────────────────────

    def renew(self, user: User) -> None:
        """Somebody logged in: other rights, and a cookie that nobody could have known before.

        Connections that came with the old cookie end: whoever knew it must not look over the shoulder.
        """
        self.preview.new_cookie(self)
        self._become(user)
        for page in list(self.pages.values()):
            page.hang_up()

    def logout(self) -> None:
        """Nobody is logged in any more."""
        self._become(None)

    def _become(self, user: User | None) -> None:
        self.user = user
        self.levels = levels_of(user)
        self.tree.write(("props", "auth"), auth_of(user), origin="Auth")
        for page in list(self.pages.values()):
            page.reload()

    # ── scripts ───────────────────────────────────────────────────────────────────────────────────────────

    async def script(
        self,
        holder: Holder,
        *,
        kind: str,
        signature: str,
        code: str,
        arguments: Mapping[str, Any],
        file: str | None = None,
    ) -> ScriptAnswer:
        """Run a script of a holder; whatever goes wrong is the answer's error."""
        handle = holder.handle
        try:
            return await self.preview.scripts.script(
                kind=kind,
                signature=signature,
                code=code,
                file=file or holder.place,
                handle=handle,
                arguments=arguments,
                session=self.id,
                page=handle["page"],
            )
        except ScriptDied as error:
            return ScriptAnswer(value=None, error=str(error), seconds=0.0)

    def run_script(
        self, holder: Holder, *, kind: str, signature: str, code: str, arguments: Mapping[str, Any]
    ) -> None:
        """The same beside everything else, its value forgotten."""
        self.engine.spawn(self._alone(holder, kind, signature, code, arguments), f"{kind} of {holder.place}")

    async def _alone(
        self, holder: Holder, kind: str, signature: str, code: str, arguments: Mapping[str, Any]
    ) -> None:
        await self.script(holder, kind=kind, signature=signature, code=code, arguments=arguments)

    def run_event(self, holder: Holder, folder: str) -> None:
        """startup, shutdown or page-startup of the project."""
        handler = self.preview.resources.events.get(folder)
        if handler is not None:
            self.preview.spawn(self._handle(holder, folder, handler, {}), handler.file)

    async def _handle(
        self, holder: Holder, kind: str, handler: Handler, arguments: Mapping[str, Any]
    ) -> None:
        code = f"{handler.signature}:\n{handler.code}"
        await self.script(
            holder,
            kind=kind,
            signature=handler.signature,
            code=code,
            arguments=arguments,
            file=handler.file,
        )

    def deliver(self, name: str, payload: Any) -> None:
        """A message from ``system.util.sendMessage`` with scope S."""
        handler = self.preview.resources.messages.get(name)
        if handler is not None:
            work = self._handle(self, "message", handler, {"payload": payload})
            self.engine.spawn(work, handler.file)

    def write_tag(self, path: str, value: Any, place: str) -> None:
        """What a bidirectional tag binding writes."""
        self.engine.spawn(self._write_tag(path, value, place), f"tag write of {place}")

    async def _write_tag(self, path: str, value: Any, place: str) -> None:
        try:
            quality = (await self.preview.tags.store.write([(path, value)]))[0]
        except TagError as error:
            _log.error("%s: %s", place, error)
            return
        if not quality.good:
            _log.error("%s: %s was not written: %s", place, path, quality)

    def farewell(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run the onShutdown scripts of a view; the session waits for them before it goes."""
        self._farewells += 1
        self._all_left.clear()
        self.preview.spawn(self._farewell(work), name)

    async def _farewell(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._farewells -= 1
            if not self._farewells:
                self.departed.clear()
                self._all_left.set()

    # ── end ───────────────────────────────────────────────────────────────────────────────────────────────

    def end(self, why: str) -> None:
        """The session is over; a click that was on its way changes nothing."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for page in list(self.pages.values()):
            page.outbox.say({"t": "closed", "why": why})
            page.close()
        self.levels = levels_of(None)
        self.engine.close()
        self.preview.forget_cookie(self)
        self.preview.spawn(self._shut_down(), f"shutdown of session {self.id}")

    async def _shut_down(self) -> None:
        """The shutdown script may still ask who it was; then nothing is left."""
        handler = self.preview.resources.events.get("shutdown")
        try:
            if self._farewells:
                await self._all_left.wait()
            if handler is not None and self.preview.was_started(self):
                await self._handle(self, "shutdown", handler, {})
        finally:
            self.close()
            self.preview.session_closed(self)

    @property
    def info(self) -> dict[str, Any]:
        """As ``system.perspective.getSessionInfo`` tells it."""
        return {
            "id": self.id,
            "username": self.user_name,
            "project": self.preview.name,
            "uptime": epoch_ms(datetime.now(UTC)) - epoch_ms(self.began_utc),
            "authorized": self.permitted,
            "pageIds": list(self.pages),
            "activePages": [page.path for page in self.pages.values()],
            "sessionScope": "browser",
        }


def _device(hello: Mapping[str, Any]) -> dict[str, Any]:
    """What the browser says of itself, as far as it can be so."""
    width, height, zone = hello.get("width"), hello.get("height"), hello.get("tz")
    return {
        "width": width if type(width) is int else None,
        "height": height if type(height) is int else None,
        "timezone": zone[:100] if isinstance(zone, str) else None,
    }


def _session_scopes(declared: Mapping[str, Any], session_id: str) -> dict[str, Any]:
    props, custom = declared.get("props"), declared.get("custom")
    own = {
        "id": session_id,
        "auth": auth_of(None),
        "host": "127.0.0.1",
        "gateway": {"timezone": {"name": "UTC"}},
    }
    return {
        "props": {
            "theme": "light",
            "locale": "en-US",
            "timeZoneId": "UTC",
            "device": {},
            **(props if isinstance(props, dict) else {}),
            **own,
        },
        "custom": custom if isinstance(custom, dict) else {},
    }
