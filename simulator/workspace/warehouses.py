"""SQL warehouses by REST: what state one is in, start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from simulator.workspace.answers import Asked, Document, Refusal, missing
from simulator.workspace.clock import Clock
from simulator.workspace.faults import Faults
from simulator.workspace.routes import Route, route

START_S: Final = 0.5
_POLL_S: Final = 0.02


@dataclass
class Warehouses:
    """One warehouse. It starts by itself when a statement comes, unless the fault ``warehouse_stopped`` is on."""

    clock: Clock
    faults: Faults
    id: str = "simulated"
    starting: Callable[[float], None] = lambda _: None
    """Told how long it will be starting, for the warehouse's other door."""
    _ready_at_s: float = 0.0
    _stopped: bool = False

    def forget(self) -> None:
        """It runs."""
        self._ready_at_s, self._stopped = 0.0, False

    @property
    def state(self) -> str:
        """STOPPED, STARTING or RUNNING."""
        if self._stopped or self.faults.on("warehouse_stopped") is not None:
            return "STOPPED"
        return "STARTING" if self.clock.elapsed_s() < self._ready_at_s else "RUNNING"

    def start(self, seconds: float = START_S) -> None:
        """It is STARTING for so long."""
        self._stopped = False
        self._ready_at_s = self.clock.elapsed_s() + seconds
        self.starting(seconds)

    async def started(self) -> None:
        """Wait while it is STARTING; the clock may be put forward meanwhile."""
        while True:
            if self.state != "STARTING":
                return
            await asyncio.sleep(_POLL_S)

    def wanted(self) -> None:
        """A statement has come: a stopped warehouse starts. Raises ``Refusal`` when nobody may start it."""
        if self.faults.on("warehouse_stopped") is not None:
            raise Refusal(
                400,
                "BAD_REQUEST",
                f"SQL warehouse {self.id} is stopped and you are not allowed to start it (CAN USE does not suffice)",
            )
        if self._stopped:
            self.start()

    def check(self, warehouse_id: str) -> None:
        """Raises ``Refusal`` 404 for any other id."""
        if warehouse_id != self.id:
            raise missing(f"SQL warehouse {warehouse_id} does not exist; there is {self.id}")

    def routes(self, host: str) -> list[Route]:
        """The requests of this area; ``host`` is the workspace's own address."""

        def document() -> Document:
            name = host.removeprefix("http://")
            running = self.state == "RUNNING"
            return {
                "id": self.id,
                "name": "Simulated warehouse",
                "cluster_size": "2X-Small",
                "min_num_clusters": 1,
                "max_num_clusters": 1,
                "auto_stop_mins": 10,
                "warehouse_type": "PRO",
                "enable_serverless_compute": True,
                "state": self.state,
                "num_clusters": 1 if running else 0,
                "health": {"status": "HEALTHY"} if running else {},
                "odbc_params": {
                    "hostname": name.rpartition(":")[0],
                    "path": f"/sql/1.0/warehouses/{self.id}",
                    "protocol": "http",
                    "port": int(name.rpartition(":")[2]),
                },
            }

        async def listed(_: Asked) -> Document:
            return {"warehouses": [document()]}

        async def one(asked: Asked) -> Document:
            self.check(asked.place["id"])
            return document()

        async def start(asked: Asked) -> Document:
            self.check(asked.place["id"])
            if self.faults.on("warehouse_stopped") is not None:
                raise Refusal(
                    403, "PERMISSION_DENIED", f"You do not have permission to start warehouse {self.id}"
                )
            if self._stopped:
                self.start()
            return {}

        async def stop(asked: Asked) -> Document:
            self.check(asked.place["id"])
            self._stopped = True
            return {}

        base = "/api/2.0/sql/warehouses"
        return [
            route("GET", base, listed, area="sql", query="page_size:whole page_token:text"),
            route("GET", f"{base}/{{id}}", one, area="sql"),
            route("POST", f"{base}/{{id}}/start", start, area="sql"),
            route("POST", f"{base}/{{id}}/stop", stop, area="sql"),
        ]
