"""All Perspective sessions of the project, and what they share: users, views, tags and polled queries."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Iterable
from typing import Any, Final
from urllib.parse import quote

from simulator.gateway.perspective.compiled import ViewPlan, compile_view
from simulator.gateway.perspective.polling import Poller
from simulator.gateway.perspective.resources import read_resources
from simulator.gateway.perspective.security import DEMO_USERS, User, Users
from simulator.gateway.perspective.sessions import ENDED, Scripts, Session
from simulator.gateway.perspective.tag_watch import TagWatch
from simulator.gateway.project import Project
from simulator.gateway.tags import TagStore

_log = logging.getLogger("gateway.perspective")
SESSION_LIMIT: Final = 500
_REMARK_LIMIT: Final = 1000


class Preview:
    """All sessions of the project, and what they share."""

    def __init__(
        self, project: Project, store: TagStore, scripts: Scripts, *, users: Iterable[User] = DEMO_USERS
    ) -> None:
        self.name = project.name
        self.resources = read_resources(project.perspective)
        self.users = Users(users)
        self.scripts = scripts
        self.tags = TagWatch(store)
        self.poller = Poller(scripts)
        self.sessions: dict[str, Session] = {}
        self._queries = project.queries
        self._plans: dict[str, ViewPlan] = {}
        self._by_cookie: dict[str, Session] = {}
        self._started: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._remarks: set[str] = set()

    def address(self, path: str) -> str:
        """Where the page of this path is, from the server's root."""
        return f"/data/perspective/client/{quote(self.name)}{quote(path)}"

    def remark(self, text: str) -> None:
        """Warn of something that is left out or ignored; once, however often it comes."""
        if text not in self._remarks and len(self._remarks) < _REMARK_LIMIT:
            self._remarks.add(text)
            _log.warning("%s", text)

    def view_plan(self, path: str) -> ViewPlan | None:
        """The view's plan, made at its first use; None when there is no such view."""
        plan = self._plans.get(path)
        if plan is None and path in self.resources.views:
            plan = compile_view(path, self.resources.views[path], self._queries)
            self._plans[path] = plan
        return plan

    # ── sessions ──────────────────────────────────────────────────────────────────────────────────────────

    def session(self, cookie: str | None) -> Session | None:
        """The session of a cookie, while it lives."""
        return self._by_cookie.get(cookie or "")

    def open_session(self) -> Session:
        """A new session, of nobody yet. When there are too many, the one idle longest gives way."""
        if len(self.sessions) >= SESSION_LIMIT:
            min(
                self._living() or self.sessions.values(), key=lambda one: (bool(one.pages), one.touched_utc)
            ).end(ENDED)
        session = Session(self, secrets.token_hex(16))
        self.sessions[session.id] = session
        self._by_cookie[session.cookie] = session
        return session

    def is_new(self, session: Session) -> bool:
        """Whether this is the session's first page."""
        new = session.id not in self._started
        self._started.add(session.id)
        return new

    def new_cookie(self, session: Session) -> None:
        """The old cookie is worth nothing any more."""
        self._by_cookie.pop(session.cookie, None)
        session.cookie = secrets.token_urlsafe(32)
        self._by_cookie[session.cookie] = session

    def session_closed(self, session: Session) -> None:
        """The session is over."""
        self.sessions.pop(session.id, None)
        self._started.discard(session.id)

    def was_started(self, session: Session) -> bool:
        """Whether the session ever had a page."""
        return session.id in self._started

    def forget_cookie(self, session: Session) -> None:
        """The cookie opens nothing any more."""
        self._by_cookie.pop(session.cookie, None)

    def expire(self, name: str) -> int:
        """End the sessions of this user; how many."""
        found = [session for session in self._living() if session.user_name == name]
        for session in found:
            session.end("Your session has expired. Log in again.")
        return len(found)

    def _living(self) -> list[Session]:
        return [session for session in self.sessions.values() if not session.closed]

    def told(self) -> list[dict[str, Any]]:
        """Every session in a few words."""
        return [session.info for session in self._living()]

    def deliver(self, name: str, payload: Any) -> None:
        """Hand a message to every session's handler."""
        for session in self._living():
            session.deliver(name, payload)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something that outlives the session it belongs to."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """End all sessions; their shutdown scripts have a moment."""
        for session in self._living():
            session.end("The gateway is shutting down.")
        self.poller.close()
        self.tags.close()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=2.0)
        for task in list(self._tasks):
            task.cancel()
