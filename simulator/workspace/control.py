"""The route by which tests and people act on the workspace, outside Databricks' own paths: ``/.simulator/…``."""

from __future__ import annotations

from simulator.workspace.answers import Answer, Asked, Document, Refusal
from simulator.workspace.clock import stamp
from simulator.workspace.faults import CATALOGUE, Active, FaultError, parse_fault
from simulator.workspace.routes import Route, Router, read_fields, route
from simulator.workspace.scripts import ScriptError, parse_script
from simulator.workspace.workspace import Workspace

PREFIX = "/.simulator/"


class Control:
    """No token is wanted; who reaches 127.0.0.1 may do everything here."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._router = Router(self._routes())

    async def answer(self, asked: Asked) -> Answer:
        """A request below ``/.simulator/``."""
        try:
            found, asked.place = self._router.find(asked.verb, asked.path)
            asked.fields = read_fields(found, asked)
            result = await found.handler(asked)
        except (FaultError, ScriptError, ValueError) as error:
            return Refusal(400, "INVALID_PARAMETER_VALUE", str(error)).answer()
        except Refusal as refusal:
            return refusal.answer()
        return result if isinstance(result, Answer) else Answer(document=result)

    def _routes(self) -> list[Route]:
        return [
            route("GET", f"{PREFIX}faults", self._faults, area=None),
            route("POST", f"{PREFIX}faults", self._begin, area=None, body="fault:text!"),
            route("DELETE", f"{PREFIX}faults", self._clear, area=None, query="name:text"),
            route("POST", f"{PREFIX}clock", self._advance, area=None, body="advance_s:number!"),
            route("GET", f"{PREFIX}requests", self._requests, area=None),
            route("POST", f"{PREFIX}reset", self._reset, area=None),
            route("PUT", f"{PREFIX}script", self._script, area=None, body=None),
            route("GET", f"{PREFIX}state", self._state, area=None),
            route("GET", f"{PREFIX}introduction", self._introduction, area=None),
        ]

    async def _faults(self, _: Asked) -> Document:
        return {
            "active": [_of_active(each) for each in self._workspace.faults.active],
            "catalogue": {fault.name: fault.meaning for fault in CATALOGUE.values()},
        }

    async def _begin(self, asked: Asked) -> Document:
        active = parse_fault(asked.text("fault"))
        return {"fault": active.fault.name, "done": self._workspace.begin(active)}

    async def _clear(self, asked: Asked) -> Document:
        return {"cleared": self._workspace.clear(asked.text("name"))}

    async def _advance(self, asked: Asked) -> Document:
        self._workspace.clock.advance(float(asked.fields["advance_s"]))
        return {"now": stamp(self._workspace.clock.now())}

    async def _requests(self, _: Asked) -> Document:
        return {"requests": [each.document() for each in self._workspace.requests]}

    async def _reset(self, _: Asked) -> Document:
        self._workspace.reset()
        return {}

    async def _script(self, asked: Asked) -> Document:
        self._workspace.use(parse_script(asked.body.decode("utf-8")))
        return await self._introduction(asked)

    async def _state(self, _: Asked) -> Document:
        return self._workspace.state()

    async def _introduction(self, _: Asked) -> Document:
        return self._workspace.introduction()


def _of_active(active: Active) -> Document:
    return {
        "fault": active.fault.name,
        "route": f"{active.verb}:{active.pattern}",
        "left": active.left,
        "seconds": active.seconds,
        "value": active.value,
    }
