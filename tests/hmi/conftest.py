"""A browser for all tests, and the two things it looks at: the client on a stage, and a running preview."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from hmi.stage import Stage, staged
from simulator.screens import ARGUMENTS, CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each module: while Playwright runs it holds an event loop, which asyncio tests elsewhere need."""
    assert CHROMIUM.exists(), f"the browser tests want {CHROMIUM}: run `make packages`"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Pages of sessions of their own, in a fixed time zone; an error in the client's code fails the test."""
    errors: list[str] = []
    with ExitStack() as contexts:

        def make(width: int = 1280, height: int = 800) -> Page:
            context = browser.new_context(viewport={"width": width, "height": height}, timezone_id="UTC")
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(40_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            return page

        yield make
    assert errors == []


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    return new_page()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as running:
        yield running
