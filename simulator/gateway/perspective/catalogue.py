"""What the preview knows: component types with their events and inputs, bindings, transforms, actions.

Anything else is a red box: it might work on a gateway, but here nobody would see whether it does.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class ComponentType:
    """One type: its properties and component events, and what of it the person at the browser changes."""

    props: frozenset[str]
    events: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    container: bool = False


def _of(props: str, *events: str, inputs: str = "", container: bool = False) -> ComponentType:
    return ComponentType(
        props=frozenset(props.split()) | {"style"},
        events=frozenset(events),
        inputs=frozenset(inputs.split()),
        container=container,
    )


_REPEATER: Final = (
    "path instances direction justify alignItems alignContent wrap elementPosition elementStyle "
    "useDefaultViewWidth useDefaultViewHeight"
)
_TYPED: Final = "placeholder deferUpdates rejectUpdatesWhileFocused enabled"

COMPONENTS: Final[Mapping[str, ComponentType]] = {
    "ia.container.flex": _of("direction justify alignItems alignContent wrap", container=True),
    "ia.container.coord": _of("mode aspectRatio", container=True),
    "ia.container.breakpt": _of("breakpoint", container=True),
    "ia.container.tab": _of("tabs currentTabIndex menuType", inputs="currentTabIndex", container=True),
    "ia.display.view": _of("path params useDefaultViewWidth useDefaultViewHeight"),
    "ia.display.flex-repeater": _of(_REPEATER),
    "ia.display.table": _of(
        "data columns pager filter selection rows virtualized emptyMessage",
        *("onRowClick", "onRowDoubleClick", "onSelectionChange"),
        inputs="selection.data selection.selectedRow filter.text pager.activePage pager.activeOption",
    ),
    "ia.display.label": _of("text alignVertical textStyle"),
    "ia.display.icon": _of("path color"),
    "ia.display.markdown": _of("source"),
    "ia.display.progress": _of("value min max bar track valueDisplay"),
    "ia.input.button": _of("text enabled primary image textStyle", "onActionPerformed"),
    "ia.input.text-field": _of(f"text {_TYPED}", inputs="text"),
    "ia.input.text-area": _of(f"text wrap spellcheck {_TYPED}", inputs="text"),
    "ia.input.numeric-entry-field": _of(f"value format inputBounds {_TYPED}", inputs="value"),
    "ia.input.dropdown": _of(
        "options value multiSelect placeholder showClearIcon search enabled",
        "onActionPerformed",
        inputs="value",
    ),
    "ia.input.toggle-switch": _of("selected label color enabled", "onActionPerformed", inputs="selected"),
    "ia.input.checkbox": _of("selected text enabled", "onActionPerformed", inputs="selected"),
    "ia.chart.timeseries": _of("series plots title legend timeRange"),
    "ia.navigation.menutree": _of("items itemStyle", "onItemClicked"),
    "ia.navigation.horizontalmenu": _of("items itemStyle", "onItemClicked"),
}
TABLE_RENDERS: Final = frozenset({"auto", "string", "number", "boolean", "date"})


def is_one_of(value: Any, known: Container[str]) -> bool:
    """Whether the value is one of these words; from a file it may be anything, also what has no hash."""
    return isinstance(value, str) and value in known


def undrawn(kind: str, props: Any) -> str | None:
    """What the values of a component's properties ask for and the preview does not draw."""
    columns = props.get("columns") if kind == "ia.display.table" and isinstance(props, dict) else None
    for number, column in enumerate(columns if isinstance(columns, list) else ()):
        render = column.get("render", "auto") if isinstance(column, dict) else "auto"
        if render is not None and not is_one_of(render, TABLE_RENDERS):
            field = column.get("field")
            return f"props.columns[{number}] ({field}): render {render!r} is not known to the preview"
    return None


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
SHOWN: Final = ("props", "position", "meta")
"""The scopes that the browser draws."""
ACCESS: Final = frozenset({"PUBLIC", "PROTECTED", "PRIVATE", "SYSTEM"})
ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "popup": ("open", "close", "toggle"),
    "dock": ("toggle", "open", "close"),
}
"""What such an action does; the first where it does not say."""
