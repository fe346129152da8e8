"""What the preview knows: component types with their events and inputs, bindings, transforms, actions.

Anything else is a red box: it might work on a gateway, but here nobody would see whether it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class ComponentType:
    """One type: its component events, and the properties that the person at the browser changes."""

    events: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    container: bool = False


def _of(*events: str, inputs: tuple[str, ...] = (), container: bool = False) -> ComponentType:
    return ComponentType(events=frozenset(events), inputs=frozenset(inputs), container=container)


COMPONENTS: Final[Mapping[str, ComponentType]] = {
    "ia.container.flex": _of(container=True),
    "ia.container.coord": _of(container=True),
    "ia.container.breakpt": _of(container=True),
    "ia.container.tab": _of(inputs=("currentTabIndex",), container=True),
    "ia.display.view": _of(),
    "ia.display.flex-repeater": _of(),
    "ia.display.table": _of(
        "onRowClick",
        "onRowDoubleClick",
        "onSelectionChange",
        inputs=(
            "selection.data",
            "selection.selectedRow",
            "selection.selectedColumn",
            "filter.text",
            "pager.activePage",
            "pager.activeOption",
        ),
    ),
    "ia.display.label": _of(),
    "ia.display.icon": _of(),
    "ia.display.markdown": _of(),
    "ia.display.progress": _of(),
    "ia.input.button": _of("onActionPerformed"),
    "ia.input.text-field": _of(inputs=("text",)),
    "ia.input.text-area": _of(inputs=("text",)),
    "ia.input.numeric-entry-field": _of(inputs=("value",)),
    "ia.input.dropdown": _of("onActionPerformed", inputs=("value",)),
    "ia.input.toggle-switch": _of("onActionPerformed", inputs=("selected",)),
    "ia.input.checkbox": _of("onActionPerformed", inputs=("selected",)),
    "ia.chart.timeseries": _of(inputs=("selection.data",)),
    "ia.navigation.menutree": _of("onItemClicked"),
    "ia.navigation.horizontalmenu": _of("onItemClicked"),
}

DOM_EVENTS: Final = frozenset(
    {
        *("onClick", "onDoubleClick", "onKeyDown", "onKeyUp", "onFocus", "onBlur"),
        *("onMouseEnter", "onMouseLeave", "onMouseDown", "onMouseUp", "onTouchStart", "onTouchEnd"),
    }
)
SYSTEM_EVENTS: Final = frozenset({"onStartup", "onShutdown"})
BINDINGS: Final = frozenset({"property", "expr", "tag", "query", "expr-struct"})
TRANSFORMS: Final = frozenset({"map", "script", "format", "expression"})
ACTIONS: Final = frozenset({"script", "nav", "popup", "dock", "login", "logout", "refresh", "theme"})
RETURN_FORMATS: Final = frozenset({"auto", "json", "dataset", "scalar"})
DIRECTIONS: Final = frozenset({"input", "output", "inout"})
SCOPES: Final = ("props", "custom", "position", "meta")
