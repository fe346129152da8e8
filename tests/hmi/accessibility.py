"""What axe-core finds on a page."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

Violation = tuple[str, list[Any]]


def serious_violations(page: Page, theme: str = "light") -> list[Violation]:
    """Serious and critical ones, each by its rule and where.

    The dark theme differs by its colours only, so there only the rule on colours has anything to say.
    """
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if theme == "dark":
        options["runOnly"] = {"type": "rule", "values": ["color-contrast"]}
    found: list[dict[str, Any]] = Axe().run(page, options=options).response["violations"]
    return [
        (one["id"], [node["target"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
