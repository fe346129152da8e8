"""A control room: gateway and database, where the loop has to close plant and bridge too, and what people do there."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.closed_loop import built_project
from gateway.gateway_stand import operator_url
from playwright.sync_api import Locator, Page, expect
from rich.console import Console
from rig import Hands

from simulator.demo_setting import Setting, set_up
from simulator.demo_stage import ROOT, Demo
from simulator.gateway.process import GatewayProcess

SOON_MS = 30_000
"""Longer than any polling interval and any pass of a timer, on a machine that is busy."""
expect.set_options(timeout=SOON_MS)


class Screen:
    """One browser at the HMI, and a person's ways through it."""

    def __init__(self, page: Page, hmi: str) -> None:
        self.page = page
        self._hmi = hmi.rstrip("/")

    def open(self, path: str = "/recommendations") -> Screen:
        self.page.goto(self._hmi + path)
        expect(self.by_id("header-agent")).to_be_visible()
        return self

    def log_in(self, name: str) -> Screen:
        """By the header's button and the login page; back on the page it was pressed on."""
        self.by_id("login-button").click()
        self.page.get_by_label("User").fill(name)
        self.page.get_by_label("Password").fill(name)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.by_id("header-user")).to_contain_text(name)
        return self

    def by_id(self, dom_id: str) -> Locator:
        return self.page.locator(f'[id="{dom_id}"]')

    def card(self, recommendation_id: str) -> Locator:
        """The card of one recommendation."""
        return (
            self.page.locator('[data-component="root"]')
            .filter(has=self.by_id(f"open-{recommendation_id}"))
            .last
        )

    def decide(self, decision: str, recommendation_id: str) -> Locator:
        """Press a decision's button; the popup that asks for confirmation."""
        self.by_id(f"{decision}-{recommendation_id}").click()
        popup = self.page.get_by_role("dialog")
        expect(popup).to_be_visible()
        return popup

    def theme(self) -> str:
        return str(self.page.evaluate("document.documentElement.dataset.theme"))

    def settle(self) -> None:
        """Wait until the page shows what it has."""
        expect(self.page.locator("main")).not_to_contain_text("Loading", use_inner_text=True)

    def confirm(self) -> None:
        self.by_id("decide-confirm").click()

    def outcome(self) -> Locator:
        return self.by_id("decide-outcome")


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a test acts on."""

    hmi: str
    hands: Hands
    folder: Path
    gateway: GatewayProcess | None = None
    setting: Setting | None = None

    def overheat(self, reactor: str) -> None:
        """Let a reactor of the plant overheat."""
        assert self.setting is not None
        subprocess.run(
            [
                sys.executable,
                "-m",
                "simulator",
                "fault",
                f"overheat {reactor}",
                "--endpoint",
                self.setting.plant,
            ],
            cwd=ROOT,
            check=True,
            timeout=30,
            capture_output=True,
        )

    def until(self, look: Callable[[], Any], deadline_s: float) -> Any:
        """Look again and again until there is something; what it is."""
        end_s = time.monotonic() + deadline_s
        while not (found := look()):
            assert time.monotonic() < end_s, "it did not happen in time"
            time.sleep(0.1)
        return found

    def written(self) -> list[str]:
        """What the plant says was written to it, a line each."""
        log = self.folder / "writes.jsonl"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@contextmanager
def whole_floor(folder: Path, database: str) -> Iterator[Floor]:
    """Database, plant, gateway with HMI, and bridge, as the demo has them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    folder.mkdir(parents=True)
    demo = Demo(folder, Console(file=io.StringIO()), environment)
    hands = Hands(database)
    try:
        setting = set_up(demo, database=database)
        yield Floor(hmi=setting.hmi, hands=hands, folder=folder, setting=setting)
    finally:
        demo.stop()
        hands.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def quiet_floor(
    folder: Path, database: str, *, edit: Callable[[Path, Path], Path] | None = None
) -> Iterator[Floor]:
    """A gateway with HMI on a database, and an agent whose word is given; no plant, no bridge, timers held.

    ``edit`` makes another project of the built one.
    """
    hands = Hands(database)
    say_online(hands)
    archive = built_project(folder)
    if edit is not None:
        archive = edit(archive, folder / "edited.zip")
    with GatewayProcess.start(
        *("--project", str(archive), "--project-name", "bridge", "--hold-timers"),
        *("--tags", str(ROOT / "ignition_project" / "tags" / "tags.json")),
        *("--database", operator_url(database), "--hmi", "0"),
    ) as gateway:
        yield Floor(hmi=gateway.ready.split()[-1], hands=hands, folder=folder, gateway=gateway)
    hands.close()


def say_online(hands: Hands, *, for_s: float = 3600.0) -> None:
    """An agent that has reported and will not be missed for so long."""
    hands.owner.execute(
        "insert into agent_health (agent_id, status, last_heartbeat, polls_completed)"
        " values ('operations-agent', 'online', clock_timestamp() + make_interval(secs => %s), 1)"
        " on conflict (agent_id) do update set last_heartbeat = excluded.last_heartbeat, status = 'online'",
        (for_s,),
    )
