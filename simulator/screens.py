"""Pictures of every page of the HMI in both themes, taken in a real browser while the demo's plant is at work.

``python -m simulator screens`` (or ``make screens``) writes them to ``docs/screens``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from rich.console import Console

from simulator.demo_setting import Setting, set_up
from simulator.demo_stage import ROOT, Demo, DemoError, near

CHROMIUM: Final = Path("/usr/bin/chromium-headless-shell")
"""Without the windows and menus of the whole browser, which nobody sees here: the same pages for half the work."""
ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
THEMES: Final = ("light", "dark")
DESK: Final[ViewportSize] = {"width": 1920, "height": 1080}
TABLET: Final[ViewportSize] = {"width": 1024, "height": 768}
_WAIT_S: Final = 90.0
_SETTLED_MS: Final = 20_000
_STILL_LOADING: Final = re.compile("Loading")


def run(out: Path) -> int:
    """Take all pictures; the exit code."""
    console = Console(highlight=False, emoji=False)
    folder = (ROOT / "build" / "screens").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    demo = Demo(folder, console, environment)
    try:
        if not CHROMIUM.exists():
            raise DemoError(f"{CHROMIUM} is missing; install the Debian package chromium-headless-shell")
        setting = set_up(demo)
        if not setting.hmi:
            raise DemoError("there is no HMI without Jython; install the Debian package jython")
        numbers = _something_to_see(demo, setting)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            for theme in THEMES:
                _take(browser, setting.hmi, theme, numbers, out)
            browser.close()
        demo.say("screens", f"{len(list(out.glob('*.png')))} pictures in {near(out.resolve())}", "bold green")
        return 0
    except DemoError as problem:
        demo.say("screens", f"failed: {problem}", "bold red")
        return 1
    finally:
        demo.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _something_to_see(demo: Demo, setting: Setting) -> dict[str, str]:
    """One reactor that waits for an answer, one that was answered and cooled; their recommendations."""
    found = {}
    severity = "high"  # the last step that overheating leads to: nothing escalates while pictures are taken
    for reactor in ("REACTOR_04", "REACTOR_02"):
        subprocess.run(
            [sys.executable, "-m", "simulator", "fault", f"overheat {reactor}", "--endpoint", setting.plant],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=30,
        )
        look = partial(_open_for, demo, reactor, severity)
        row = demo.wait_for(f"a {severity} recommendation for {reactor}", look, _WAIT_S)
        found[reactor] = row["recommendation_id"]
        if reactor == "REACTOR_04":
            demo.bridge(
                *("recommendations", "approve", found[reactor], "--operator", "operator", "--yes"),
                *("--digest", row["write_digest"]),
            )
    return found


def _open_for(demo: Demo, reactor: str, severity: str) -> dict[str, Any] | None:
    for row in demo.ask("recommendations", "list")["recommendations"]:
        if (row["equipment_id"], row["severity"], row["status"]) == (reactor, severity, "pending"):
            return demo.ask("recommendations", "show", row["recommendation_id"])
    return None


def _take(browser: Browser, hmi: str, theme: str, numbers: dict[str, str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    page.set_default_timeout(_SETTLED_MS)
    _log_in(page, hmi, theme)
    waiting, done = numbers["REACTOR_02"], numbers["REACTOR_04"]
    for name, path in (
        ("recommendations", "/recommendations"),
        ("recommendation", f"/recommendations/{waiting}"),
        ("recommendation-executed", f"/recommendations/{done}"),
        ("equipment", "/equipment"),
        ("equipment-detail", "/equipment/REACTOR_02"),
        ("commands", "/commands"),
        ("health", "/health"),
        ("audit", "/audit"),
        ("settings", "/settings"),
    ):
        _show(page, hmi, path)
        page.screenshot(path=out / f"{name}-{theme}.png")
    _show(page, hmi, "/recommendations")
    for decision in ("approve", "reject", "defer"):
        page.locator(f'[id="{decision}-{waiting}"]').click()
        page.locator('[id="decide-confirm"]').wait_for()
        page.screenshot(path=out / f"{decision}-{theme}.png")
        page.locator('[id="decide-cancel"]').click()
        page.get_by_role("dialog").wait_for(state="hidden")
    page.set_viewport_size(TABLET)
    _show(page, hmi, "/recommendations")
    page.screenshot(path=out / f"tablet-{theme}.png")
    context.close()


def _log_in(page: Page, hmi: str, theme: str) -> None:
    _show(page, hmi, "/recommendations")
    page.locator('[id="login-button"]').click()
    page.get_by_label("User").wait_for()
    page.get_by_label("User").fill("operator")
    page.get_by_label("Password").fill("operator")
    page.get_by_role("button", name="Log in").click()
    page.locator('[id="header-user"]', has_text="operator").wait_for()
    if page.evaluate("document.documentElement.dataset.theme") != theme:
        page.locator('[id="theme-button"]').click()
        page.locator(f"html[data-theme={theme}]").wait_for()


def _show(page: Page, hmi: str, path: str) -> None:
    """Open a page and wait until it shows what it has instead of saying that it is loading."""
    page.goto(hmi.rstrip("/") + path)
    page.locator('[id="header-agent"]').wait_for()
    expect(page.locator("main")).not_to_contain_text(_STILL_LOADING, use_inner_text=True)
