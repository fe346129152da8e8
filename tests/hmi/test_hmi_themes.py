"""Both themes hold WCAG AA: 4.5 : 1 for text on every surface, 3 : 1 for borders, focus ring and traces."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from hmi.stage import Stage, column, node

SURFACES = (
    "containerRoot",
    "container",
    "containerNested",
    "neutral-10",
    "neutral-20",
    "neutral-30",
    "input",
)
TEXTS = ["label", "labelDisabled", "icon", "neutral-80", "neutral-90", "neutral-100", "success", "warning"]
TEXTS += ["error", "info", "infoSecondary", "callToAction"]
PAIRS = [(text, surface, 4.5) for text in TEXTS for surface in SURFACES]
PAIRS += [(state, f"{state}Background", 4.5) for state in ("success", "warning", "error", "info")]
PAIRS += [("label", f"{state}Background", 4.5) for state in ("success", "warning", "error", "info")]
PAIRS += [("callToActionText", surface, 4.5) for surface in ("callToAction", "callToActionHighlight")]
PAIRS += [("labelDisabled", "callToActionDisabled", 4.5), ("labelDisabled", "inputDisabled", 4.5)]
PAIRS += [("label", "neutral-40", 4.5), ("neutral-70", "container", 4.5)]
PAIRS += [(line, surface, 3.0) for line in ("inputBorder", "focus") for surface in SURFACES]
PAIRS += [("toggleSwitch-unselected", "container", 3.0)]
PAIRS += [(f"chart-{number}", "container", 3.0) for number in range(1, 7)]
PAIRS += [(f"qual-{number}", "container", 3.0) for number in range(1, 11)]

PERSPECTIVE = [f"neutral-{step}0" for step in range(1, 11)]
PERSPECTIVE += [
    "container",
    "containerBorder",
    "containerRoot",
    "label",
    "labelDisabled",
    "input",
    "inputBorder",
]
PERSPECTIVE += [
    "callToAction",
    "callToActionHighlight",
    "callToActionDisabled",
    "success",
    "warning",
    "error",
]
PERSPECTIVE += ["info", "infoSecondary", "border"]
PERSPECTIVE += [f"{family}-{number}" for family in ("div", "seq", "qual") for number in range(1, 11)]


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` as WCAG defines it."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_has_contrast_and_every_variable(page: Page, stage: Stage, theme: str) -> None:
    stage.set_page(column(node("ia.display.label", "Text", text="x")), theme=theme)
    page.goto(stage.url)
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    names = sorted({name for pair in PAIRS for name in pair[:2]} | set(PERSPECTIVE))
    colours = page.evaluate(
        """(names) => {
          const probe = document.createElement("i");
          document.body.append(probe);
          const known = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name) !== "";
          const found = names.map((name) => {
            probe.style.color = `var(--${name})`;
            return [name, known(name) ? getComputedStyle(probe).color : null];
          });
          return Object.fromEntries(found);
        }""",
        names,
    )
    assert [name for name, colour in colours.items() if colour is None] == []
    weak = [
        (text, surface, round(contrast(colours[text], colours[surface]), 2))
        for text, surface, wanted in PAIRS
        if contrast(colours[text], colours[surface]) < wanted
    ]
    assert weak == []


def test_the_measure_itself() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)
