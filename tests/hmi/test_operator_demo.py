"""The demo as a person has it at a terminal: it opens on the HMI, they carry the loop, and Ctrl-C ends it in order."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from hmi.floor import Screen
from simulator.demo_stage import ROOT

NewPage = Callable[..., Page]


class Terminal:
    """A program at a terminal of its own, and what it has said so far."""

    def __init__(self, *command: str, environment: dict[str, str]) -> None:
        self._screen, inner = pty.openpty()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)
        self.said = ""

    def wait_for(self, pattern: str, within_s: float) -> re.Match[str]:
        """Read on until it has said this."""
        end_s = time.monotonic() + within_s
        while (found := re.search(pattern, self.said)) is None:
            assert time.monotonic() < end_s, f"wanted {pattern!r}, found:\n{self.said[-3000:]}"
            if select.select([self._screen], [], [], 0.2)[0]:
                try:
                    chunk = os.read(self._screen, 65536)
                except OSError:  # the other end is closed
                    chunk = b""
                assert chunk, f"it ended with {self.process.wait(10)}:\n{self.said[-3000:]}"
                self.said += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", chunk.decode("utf-8", "replace"))
        return found

    def interrupt(self) -> int:
        """Ctrl-C; its exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        end_s = time.monotonic() + 40
        while self.process.poll() is None:
            assert time.monotonic() < end_s, f"still there:\n{self.said[-3000:]}"
            if select.select([self._screen], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self._screen, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._screen)


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """Where the browser that a person has would have gone."""
    return tmp_path / "opened.txt"


@pytest.fixture
def terminal(tmp_path: Path, opened: Path) -> Iterator[Terminal]:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n', encoding="utf-8")
    browser.chmod(0o755)
    environment = {**os.environ, "BROWSER": f"{browser} %s", "TERM": "xterm", "COLUMNS": "140"}
    with tempfile.TemporaryDirectory(prefix="bridge-demo-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run under another account
        running = Terminal(
            *(sys.executable, "-m", "simulator", "demo", "--build", folder), environment=environment
        )
        yield running
        running.close()


@pytest.mark.timeout(480)
def test_a_person_carries_the_loop(terminal: Terminal, opened: Path, new_page: NewPage) -> None:
    hmi = terminal.wait_for(r"http://\S+/data/perspective/client/\S+?/(?=\s)", 110)[0]
    terminal.wait_for(r"log in as operator/operator", 110)
    assert opened.read_text(encoding="utf-8").strip() == hmi
    number = terminal.wait_for(r"(R-\d+) REACTOR_02 high is pending", 110)[1]
    screen = Screen(new_page(), hmi).open().log_in("operator")
    screen.decide("approve", number)
    screen.confirm()
    expect(screen.outcome()).to_contain_text("approved", ignore_case=True)
    terminal.wait_for(rf"{number} REACTOR_02 high is executed", 110)
    assert terminal.interrupt() == 0
    assert "have stopped" in terminal.said
