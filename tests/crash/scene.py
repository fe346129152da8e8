"""What a crash happens to: a database, some reactors of a real plant, and bridge processes that may die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.bench import Floor, publish, settings_values, throughput, until
from rig import Hands, Row

from bridge.domain.lifecycle import Role
from bridge.plant import Plant
from bridge.settings import Settings
from bridge.store import queries
from bridge.store.desk import Desk
from bridge.store.postgres import database

RUNNER = Path(__file__).with_name("runner.py")
SHORT: Mapping[str, object] = {
    "poll_s": 0.5,
    "tend_s": 0.2,
    "heartbeat_s": 0.5,
    "command_deadline_s": 0.6,
    "lease_s": 2.0,
}


class Nursery:
    """The process from which all bridges are forked."""

    def __init__(self) -> None:
        self._runner = subprocess.Popen(
            [sys.executable, str(RUNNER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def fork(self, settings: Mapping[str, Any], log: Path, mark: Sequence[str]) -> Process:
        """One more bridge, with its mark if it has to die."""
        assert self._runner.stdin is not None
        assert self._runner.stdout is not None
        order = {"settings": settings, "log": str(log), "mark": mark}
        self._runner.stdin.write(f"{json.dumps(order)}\n")
        return Process(pid=int(self._runner.stdout.readline()), log=log)

    def close(self) -> None:
        self._runner.communicate(timeout=10.0)


@dataclass(kw_only=True)
class Process:
    """One bridge process."""

    pid: int
    log: Path

    @property
    def code(self) -> int | None:
        """How it ended: its exit code or the negative number of its signal; None while it lives."""
        note = Path(f"{self.log}.exit")
        text = note.read_text(encoding="utf-8") if note.exists() else ""
        return int(text) if text else None

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    async def ready(self) -> None:
        """Wait until it works."""

        def look() -> bool:
            assert self.code is None, f"it ended by itself: {self.said()}"
            return "ready" in self.said().splitlines()

        await until(look, "the bridge is ready", deadline_s=40.0)

    async def linked(self) -> None:
        """Wait until it hears its plant: what it is given before that it refuses as unreadable, and rightly."""
        await until(lambda: "link.up" in self.said(), "its link is up", deadline_s=40.0)

    async def died(self, number: signal.Signals) -> None:
        """Wait until it died of this signal."""
        await until(lambda: self.code is not None, "it dies", deadline_s=40.0)
        assert self.code == -number, (self.code, self.said())

    async def stopped(self) -> None:
        """Wait until it stands still (SIGSTOP)."""
        status = Path(f"/proc/{self.pid}/stat")

        def still() -> bool:
            assert self.code is None, f"it ended by itself: {self.said()}"
            return status.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "T"

        await until(still, "the process stands still", deadline_s=40.0)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def end(self) -> None:
        """Ask it to leave in good order (SIGTERM) once it works, and see that it does."""
        await self.ready()
        os.kill(self.pid, signal.SIGTERM)
        await until(lambda: self.code is not None, "it leaves", deadline_s=40.0)
        assert self.code == 0, (self.code, self.said())


@dataclass(kw_only=True)
class Scene:
    """One database and its reactors; `approved` remembers what may be written to which node."""

    floor: Floor
    nursery: Nursery
    url: str
    named: queries.Queries
    folder: Path
    reactors: Sequence[str]
    hands: Hands
    endpoint: str
    approved: dict[str, set[object]] = field(default_factory=dict)
    _processes: list[Process] = field(default_factory=list)

    def start(self, *mark: object, agent: Mapping[str, object] | None = None) -> Process:
        """A bridge process, with its mark if it has to die."""
        number = len(self._processes)
        values = settings_values(
            self.url, self.endpoint, self.reactors, agent={**SHORT, "id": f"bridge-{number}", **(agent or {})}
        )
        process = self.nursery.fork(values, self.folder / f"bridge{number}.log", [*map(str, mark)])
        self._processes.append(process)
        return process

    def approve(self, reactor: str, *writes: Mapping[str, object]) -> str:
        """A recommendation with these writes, proposed by an agent and approved by a person."""
        for write in writes:
            node = str(write["tag_path"]).removeprefix("[default]")
            self.approved.setdefault(node, set()).add(write["to"])
        made = self.hands.propose(equipment_id=reactor, writes=[dict(write) for write in writes])
        self.hands.approve(made)
        return made

    def commands(self) -> list[Row]:
        return self.hands.owner.execute(
            "select * from agent_commands order by recommendation_id, sequence"
        ).fetchall()

    async def settled(self, *, deadline_s: float = 40.0, unknown: bool = False) -> list[Row]:
        """Wait until no command is on its way and none that can be settled is unknown; all of them."""
        live = ("pending", "executing") if unknown else ("pending", "executing", "unknown")

        def over() -> bool:
            approved = self.hands.value(
                "select count(*) from agent_recommendations where status in ('approved', 'executing')"
            )
            return approved == 0 and not [row for row in self.commands() if row["status"] in live]

        await until(over, "every command has its end", deadline_s=deadline_s, every_s=0.05)
        return self.commands()

    def written(self) -> dict[str, list[object]]:
        """What the plant itself recorded, by node."""
        found: dict[str, list[object]] = {}
        for node, value in self.floor.writes(*self.reactors):
            found.setdefault(node, []).append(value)
        return found

    async def check(self) -> None:
        """The promises: at most one write per command, only approved values, verdicts that agree with the plant."""
        written = self.written()
        for node, values in written.items():
            assert len(values) == 1, f"{node} was written {len(values)} times: {values}"
            assert values[0] in self.approved.get(node, set()), f"{node} := {values[0]} was never approved"
        for row in self.commands():
            node = row["tag_path"].removeprefix("[default]")
            trail = [
                entry
                for entry in self.hands.trail(row["recommendation_id"])
                if entry["object_id"] == row["command_id"]
            ]
            actions = [entry["action"] for entry in trail]
            assert actions.count("command.sent") == (0 if row["sent_timestamp"] is None else 1), actions
            if row["status"] == "executed":
                assert written.get(node) == [
                    bool(row["new_value"]) if node.endswith("On") else row["new_value"]
                ], row
            elif row["status"] in ("failed", "cancelled"):
                assert node not in written, (
                    f"{row['command_id']} is {row['status']}, the plant was written: {row}"
                )
            if node in written:
                assert "command.sent" in actions, "an intent before every write"
            assert actions[-1] == f"command.{row['status']}", actions
            assert row["execution_result"] or row["status"] == "executed"
        await self.chain_is_whole()

    async def chain_is_whole(self) -> None:
        """The audit chain verifies from its first entry to its head."""
        db = database(Settings(**settings_values(self.url, self.endpoint, self.reactors)).store, Role.AGENT)
        await db.open()
        try:
            state = await Desk(db, self.named).verify_audit()
        finally:
            await db.close()
        assert (state.problem, state.seq > 0) == ("", True)

    async def clean_up(self) -> None:
        for process in self._processes:
            if process.code is None:
                os.kill(process.pid, signal.SIGKILL)
                await until(lambda: process.code is not None, "it is gone")  # noqa: B023 - awaited at once


@asynccontextmanager
async def scene_on(
    floor: Floor,
    nursery: Nursery,
    url: str,
    named: queries.Queries,
    folder: Path,
    *,
    reactors: int,
    endpoint: str = "",
) -> AsyncIterator[Scene]:
    """A scene; every process that is left is killed at its end."""
    taken = [floor.take() for _ in range(reactors)]
    reached = endpoint or floor.endpoint
    await publish(url, Plant.of(Settings(**settings_values(url, reached, taken))), named)
    scene = Scene(
        floor=floor,
        nursery=nursery,
        url=url,
        named=named,
        folder=folder,
        reactors=taken,
        hands=Hands(url),
        endpoint=reached,
    )
    try:
        yield scene
    finally:
        await scene.clean_up()
        scene.hands.close()


def statuses(rows: Sequence[Row]) -> dict[str, int]:
    """How many commands ended how."""
    found: dict[str, int] = {}
    for row in rows:
        found[row["status"]] = found.get(row["status"], 0) + 1
    return found


def of(rows: Sequence[Row], reactor: str) -> Any:
    """The command for one reactor's throughput."""
    (row,) = [row for row in rows if row["tag_path"] == throughput(reactor)]
    return row


MakeScene = Callable[..., Awaitable[Scene]]
"""Makes a scene; options are those of `scene_on`, and `floor` for a plant of one's own."""
