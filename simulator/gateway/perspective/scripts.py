"""What scripts ask about sessions: reading and writing properties, walking the tree, and system.perspective."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from simulator.gateway.expressions import ExpressionError
from simulator.gateway.perspective.holders import Holder, from_script, to_script
from simulator.gateway.perspective.pages import Page
from simulator.gateway.perspective.paths import parse_path
from simulator.gateway.perspective.preview import Preview
from simulator.gateway.perspective.security import has_levels
from simulator.gateway.perspective.sessions import Session
from simulator.gateway.perspective.views import Component, ViewInstance
from simulator.gateway.scripting import Refused

_log = logging.getLogger("gateway.perspective")
_READ_ONLY = {"session": ("props.auth", "props.id"), "page": ("props.pageId", "props.path")}


class ScriptAsks:
    """The answerer of the JVM's perspective asks."""

    def __init__(self, preview: Preview) -> None:
        self._preview = preview

    async def __call__(self, message: dict[str, Any]) -> Any:
        """Raises ``Refused`` with what is raised in the script."""
        if message["op"] == "getSessionInfo":
            return self._session_info(message.get("arguments") or {})
        holder = self._holder(message["handle"])
        try:
            match message["op"]:
                case "get":
                    return to_script(holder.tree.get(parse_path(message["path"])))
                case "exists":
                    return holder.tree.exists(parse_path(message["path"]))
                case "set":
                    return self._set(holder, message["path"], message["value"])
                case "refresh":
                    return self._refresh(holder, message["path"])
                case "walk":
                    return self._walk(holder, message["to"], message.get("name"))
                case "methods":
                    return list(holder.behaviour.methods)
                case "method":
                    return await self._method(holder, message)
        except ExpressionError as error:
            raise Refused(str(error)) from error
        return self._system(holder, message["op"], message.get("arguments") or {})

    def _holder(self, handle: Mapping[str, Any]) -> Holder:
        session = self._preview.sessions.get(str(handle.get("session")))
        if session is None:
            raise Refused(f"there is no Perspective session {handle.get('session')!r}; it has ended")
        found: Holder | None = session
        if handle.get("component") is not None:
            found = session.components.get(handle["component"])
        elif handle.get("view") is not None:
            found = session.views.get(handle["view"])
        elif handle.get("page") is not None:
            page = handle["page"]
            found = session.pages.get(page) or session.departed.get(page)
        if found is None:
            raise Refused("the component, view or page of this script is not there any more")
        return found

    # ── properties ────────────────────────────────────────────────────────────────────────────────────────

    def _set(self, holder: Holder, path: str, value: Any) -> None:
        steps = parse_path(path)
        if steps[0] not in holder.tree.scopes:
            raise Refused(f"{holder.place}: there is no {steps[0]}; {', '.join(holder.tree.scopes)} are")
        if len(steps) < 2:
            raise Refused(f"{holder.place}: {path} cannot be replaced as a whole")
        if any(path == one or path.startswith(one + ".") for one in _READ_ONLY.get(holder.kind, ())):
            raise Refused(f"{holder.place}: {path} cannot be written")
        if steps[0] in ("custom", "params") and not holder.tree.exists(steps[:2]):
            raise Refused(f"{holder.place}: {path} is not declared; declare it with a default")
        holder.tree.write(steps, from_script(value), origin="Script")

    def _refresh(self, holder: Holder, path: str) -> None:
        found = [one for one in holder.bindings if one.plan.target == parse_path(path)]
        if not found:
            raise Refused(f"{holder.place}: {path} has no binding to refresh")
        for binding in found:
            binding.refresh()

    def _walk(self, holder: Holder, to: str, name: str | None) -> dict[str, Any] | None:
        found: Holder | None = None
        match holder, to:
            case Component(), "sibling" if name is not None:
                found = holder.parent.child(name) if holder.parent else None
            case Component(), "child" if name is not None:
                found = holder.child(name)
            case Component(), "parent":
                found = holder.parent
            case ViewInstance(), "child" if name is not None:
                found = holder.root if name == holder.root.name else holder.root.child(name)
            case ((Component() | ViewInstance()), "root"):
                found = (holder.view if isinstance(holder, Component) else holder).root
            case Component(), "view":
                found = holder.view
            case ((Component() | ViewInstance()), "page"):
                found = holder.page
            case _, "session":
                found = holder.session
        if found is None:
            return None
        kind = found.plan.type if isinstance(found, Component) else found.kind
        return {
            **found.handle,
            "name": found.name if isinstance(found, Component) else found.kind,
            "type": kind,
            "scopes": list(found.tree.scopes),
        }

    async def _method(self, holder: Holder, message: Mapping[str, Any]) -> Any:
        method = holder.behaviour.methods.get(message["name"])
        if method is None:
            raise Refused(f"{holder.place}: there is no method {message['name']!r}")
        given, keywords = message.get("arguments") or [], message.get("keywords") or {}
        if len(given) > len(method.parameters) or not set(keywords) <= set(method.parameters):
            raise Refused(f"{holder.place}: {method.name}() takes ({', '.join(method.parameters)})")
        values = {**dict.fromkeys(method.parameters), **dict(zip(method.parameters, given, strict=False))}
        values.update(keywords)
        answer = await holder.session.script(
            holder,
            kind="method",
            signature=f"def {method.name}({', '.join(('self', *method.parameters))})",
            code=method.code,
            arguments=values,
        )
        if answer.error is not None:
            raise Refused(f"{method.name}() failed: {answer.error}")
        return answer.value

    # ── system.perspective ────────────────────────────────────────────────────────────────────────────────

    def _system(self, holder: Holder, op: str, arguments: Mapping[str, Any]) -> Any:
        session = holder.session
        match op:
            case "isAuthorized":
                levels = [str(level) for level in arguments.get("securityLevels") or ()]
                return has_levels(session.levels, levels, all_of=arguments.get("isAllOf") is True)
            case "logout":
                return session.logout()
            case "setTheme":
                return session.set_theme(str(arguments["name"]))
            case "sendMessage":
                return self._send(holder, arguments)
        page = _page_of(holder)
        if page is None:
            raise Refused(f"system.perspective.{op}: no page is attached to this thread; name pageId")
        match op:
            case "openPopup" | "closePopup" | "togglePopup":
                config = {
                    **arguments,
                    "viewPath": arguments.get("view"),
                    "viewParams": arguments.get("params"),
                }
                page.actions.popup(op.removesuffix("Popup"), from_script(config), holder.place)
            case "openDock" | "closeDock" | "toggleDock":
                given = from_script(arguments.get("params"))
                page.dock(op.removesuffix("Dock"), str(arguments["id"]), given, holder.place)
            case "navigate":
                page.go(
                    page=arguments.get("page"),
                    view=arguments.get("view"),
                    url=arguments.get("url"),
                    params=from_script(arguments.get("params")),
                    new_tab=arguments.get("newTab") is True,
                    place=holder.place,
                )
            case "refreshPage":
                page.reload()
            case "login":
                page.actions.login()
            case "print":
                self._print(page, arguments)
            case "download":
                kind = arguments.get("contentType") or "application/octet-stream"
                page.outbox.say(
                    {
                        "t": "download",
                        "name": str(arguments["filename"]),
                        "data": arguments["data"],
                        "type": kind,
                    }
                )
            case _:
                raise Refused(f"system.perspective.{op} is not supported by the stand-in")
        return None

    def _print(self, page: Page, arguments: Mapping[str, Any]) -> None:
        text = str(arguments.get("message"))
        if arguments.get("destination") in ("gateway", "all"):
            logging.getLogger("script.print").info("%s", text)
        if arguments.get("destination") != "gateway":
            page.outbox.say({"t": "print", "text": text})

    def _send(self, holder: Holder, arguments: Mapping[str, Any]) -> None:
        name, scope = str(arguments["messageType"]), str(arguments.get("scope") or "page")
        payload = arguments.get("payload") or {}
        for component in self._hearers(holder, scope):
            for handler in component.behaviour.handlers:
                if handler.name == name and scope in handler.scopes:
                    component.session.run_script(
                        component,
                        kind="message",
                        signature="def onMessageReceived(self, payload)",
                        code=handler.code,
                        arguments={"payload": payload},
                    )

    def _hearers(self, holder: Holder, scope: str) -> list[Holder]:
        components = [one for one in holder.session.components.values() if one.alive]
        if scope == "session":
            return list(components)
        if scope == "view":
            view = holder.view if isinstance(holder, Component) else holder
            return [one for one in components if one.view is view]
        page = _page_of(holder)
        if page is None:
            raise Refused("system.perspective.sendMessage: no page is attached to this thread; name pageId")
        return [one for one in components if one.page is page]

    def _session_info(self, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        name, project = arguments.get("usernameFilter"), arguments.get("projectFilter")
        return [
            one
            for one in self._preview.told()
            if (not name or one["username"] == name) and (not project or one["project"] == project)
        ]


def _page_of(holder: Holder) -> Page | None:
    if isinstance(holder, Page):
        return holder
    if isinstance(holder, Component | ViewInstance):
        return holder.page
    if isinstance(holder, Session) and len(holder.pages) == 1:
        return next(iter(holder.pages.values()))
    return None
