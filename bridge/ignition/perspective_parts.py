"""What Perspective is made of, as data: components with props and events, bindings, transforms, actions, icons.

`COMPONENTS` are those that the preview draws, and hold what the preview knows of them. What Ignition has
besides is listed apart, so that a healthy project with other parts is told of the preview and not of a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One type of component.

    props, events: what the preview knows. also_props, also_events: what Ignition has besides.
    """

    props: frozenset[str]
    events: frozenset[str] = frozenset()
    also_props: frozenset[str] = frozenset()
    also_events: frozenset[str] = frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _part(props: str, events: str = "", also: str = "", also_events: str = "") -> Part:
    return Part(
        props=frozenset(props.split()) | {"style"},
        events=frozenset(events.split()),
        also_props=frozenset(also.split()),
        also_events=frozenset(also_events.split()),
    )


_REPEATER = (
    "path instances direction justify alignItems alignContent wrap elementPosition elementStyle "
    "useDefaultViewWidth useDefaultViewHeight"
)
_TABLE_ALSO = (
    "cells headerStyle bodyStyle footerStyle columnSettings columnGroups dragOrderable enableHeader enableFooter "
    "headers items sortOrder resizeMode subview scrollTo showColumnHeaders columnOrder editable emptyState"
)

COMPONENTS: Mapping[str, Part] = MappingProxyType(
    {
        "ia.container.flex": _part("direction justify alignItems alignContent wrap"),
        "ia.container.coord": _part("mode aspectRatio"),
        "ia.container.breakpt": _part("breakpoint", also="breakpoints animate"),
        "ia.container.tab": _part(
            "tabs currentTabIndex menuType",
            also="tabSize activeStyle inactiveStyle contentStyle menuStyle tabStyle menuAlign defaultTabIndex tabState",
        ),
        "ia.display.view": _part(
            "path params useDefaultViewWidth useDefaultViewHeight",
            also="useDefaultHeight useDefaultWidth loading",
        ),
        "ia.display.flex-repeater": _part(_REPEATER, also="useDefaultHeight useDefaultWidth"),
        "ia.display.table": _part(
            "data columns pager filter selection rows virtualized emptyMessage",
            "onRowClick onRowDoubleClick onSelectionChange",
            also=_TABLE_ALSO,
            also_events="onEditCellCommit onEditCellStart onEditCellCancel onSubviewExpand onSubviewCollapse "
            "onRowReorder onColumnReorder onSort onFilter onCellClick",
        ),
        "ia.display.label": _part("text alignVertical textStyle", also="enabled label wrap"),
        "ia.display.icon": _part("path color", also="name library"),
        "ia.display.markdown": _part("source", also="markdown"),
        "ia.display.progress": _part("value min max bar track valueDisplay", also="orientation color"),
        "ia.input.button": _part(
            "text enabled primary image textStyle", "onActionPerformed", also="tooltip justify"
        ),
        "ia.input.text-field": _part(
            "text placeholder deferUpdates rejectUpdatesWhileFocused enabled",
            also="spellcheck invalidStyle type readonly inputProps",
        ),
        "ia.input.text-area": _part(
            "text placeholder wrap spellcheck deferUpdates rejectUpdatesWhileFocused enabled",
            also="resize readonly",
        ),
        "ia.input.numeric-entry-field": _part(
            "value format inputBounds placeholder deferUpdates rejectUpdatesWhileFocused enabled",
            also="mode spinner align containerStyle inputStyle invalidInputMessage units selectOnFocus "
            "label formatMode direction inputProps",
        ),
        "ia.input.dropdown": _part(
            "options value multiSelect placeholder showClearIcon search enabled",
            "onActionPerformed",
            also="dropdownOptionStyle optionStyle multiSelectStyle modalStyle wrap textAlign allowCustomOptions "
            "iconStyle dropdownStyle menuStyle label maxOptions invalidStyle",
        ),
        "ia.input.toggle-switch": _part(
            "selected label color enabled",
            "onActionPerformed",
            also="selectedStyle unselectedStyle switchSize selectedColor thumbColor",
        ),
        "ia.input.checkbox": _part(
            "selected text enabled",
            "onActionPerformed",
            also="triState textPosition checkedIcon uncheckedIcon indeterminateIcon textStyle iconStyle "
            "selectedIcon unselectedIcon",
        ),
        "ia.chart.timeseries": _part(
            "series plots title legend timeRange",
            also="xAxis xTrace crosshair dataSources brush rangeBrush axes header footer backgroundColor plotSettings "
            "timeAxis timeZone legendStyle selection enableTransitions transitionDelay transition theme",
        ),
        "ia.navigation.menutree": _part(
            "items itemStyle",
            "onItemClicked",
            also="defaultNavIconStyle selectedItemStyle itemHoverStyle showHeader navIcon collapsed "
            "headerStyle itemStyles selectedStyle showSelected animate",
        ),
        "ia.navigation.horizontalmenu": _part(
            "items itemStyle",
            "onItemClicked",
            also="popoutStyle selectedStyle wrap alignment overflow",
        ),
    }
)

TABLE_RENDERS = frozenset({"auto", "string", "number", "boolean", "date"})
"""How the preview draws the cells of a table's column."""

ONLY_83 = frozenset({"ia.input.form", "ia.display.drawing", "ia.container.drawer", "ia.display.offline-form"})
"""Types that 8.1 does not have."""

NOT_DRAWN = ONLY_83 | _words(
    "ia.container.column ia.container.split ia.container.pipes ia.container.coordinate "
    "ia.display.accordion ia.display.alarmstatustable ia.display.alarmjournaltable ia.display.audio "
    "ia.display.barcode ia.display.carousel ia.display.cylindrical-tank ia.display.cylindricaltank "
    "ia.display.dashboard ia.display.equipmentschedule ia.display.equipment-schedule ia.display.gantt "
    "ia.display.google-map ia.display.iframe ia.display.image ia.display.led-display ia.display.leddisplay "
    "ia.display.linear-scale ia.display.linearscale ia.display.map ia.display.moving-analog-indicator "
    "ia.display.pdf-viewer ia.display.pdfviewer ia.display.sparkline ia.display.tag-browse-tree "
    "ia.display.thermometer ia.display.tree ia.display.video-player ia.display.videoplayer "
    "ia.display.viewcanvas ia.display.view-canvas ia.display.reportviewer ia.display.alarmhorn "
    "ia.display.simple-gauge ia.display.log-viewer ia.display.xytable ia.display.symbol "
    "ia.input.barcode ia.input.barcodescannerinput ia.input.barcode-scanner-input ia.input.date-time-input "
    "ia.input.date-time-picker ia.input.fileupload ia.input.file-upload ia.input.multi-state-button "
    "ia.input.oneshotbutton ia.input.password-field ia.input.radio-group ia.input.signature-pad ia.input.slider "
    "ia.input.dateTimeInput ia.input.dateTimePicker ia.input.signaturepad ia.input.linked-button "
    "ia.chart.xy ia.chart.powerchart ia.chart.pie ia.chart.gauge ia.chart.simple-gauge ia.chart.bar "
    "ia.chart.timeline ia.chart.boxplot ia.navigation.link ia.navigation.breadcrumbs "
    "ia.reporting.report-viewer ia.symbol.motor ia.symbol.pump ia.symbol.sensor ia.symbol.valve ia.symbol.vessel "
    "ia.symbol.tank ia.symbol.fan ia.symbol.conveyor"
)
"""Types that Ignition has and the preview does not draw."""

NOT_DRAWN_FAMILIES = ("ia.shapes.", "ia.symbol.", "ia.reporting.", "ia.sfc.", "ia.symbols.", "ia.pipes.")
"""Beginnings of types of which Ignition has many."""

BINDINGS = frozenset({"property", "expr", "tag", "query", "expr-struct"})
BINDINGS_NOT_DRAWN = frozenset({"tag-history", "http", "mongodb", "power-chart"})
TRANSFORMS = frozenset({"map", "script", "format", "expression"})
MAP_INPUTS = frozenset({"scalar", "range", "expression"})
MAP_OUTPUTS = frozenset({"scalar", "color", "style-list", "expression", "document"})
FORMATS = frozenset({"numeric", "datetime"})
ACTIONS = frozenset({"script", "nav", "popup", "dock", "login", "logout", "refresh", "theme"})
ORDERS = MappingProxyType({"popup": ("open", "close", "toggle"), "dock": ("toggle", "open", "close")})
"""What a popup or dock action does in the preview; the first where it does not say."""
ACCESS = frozenset({"PUBLIC", "PROTECTED", "PRIVATE", "SYSTEM"})
SHOWN = ("props", "position", "meta")
"""The scopes that the browser draws."""
ACTIONS_NOT_DRAWN = frozenset(
    {
        "fullscreen",
        "accelerometer",
        "bluetooth",
        "nfc",
        "ndef",
        "scan-barcode",
        "scan-nfc",
        "barcode",
        "print",
        "authchallenge",
        "auth-challenge",
        "authentication-challenge",
        "location",
    }
)
CATEGORIES = frozenset({"component", "dom", "system"})
SYSTEM_EVENTS = frozenset({"onStartup", "onShutdown"})
DOM_EVENTS = _words(
    "onClick onDoubleClick onKeyDown onKeyUp onFocus onBlur onMouseEnter onMouseLeave onMouseDown onMouseUp "
    "onTouchStart onTouchEnd"
)
RETURN_FORMATS = frozenset({"auto", "json", "dataset", "scalar"})
DIRECTIONS = frozenset({"input", "output", "inout"})
DOM_EVENTS_NOT_DRAWN = _words(
    "onChange onContextMenu onCopy onCut onDrag onDragEnd onDragEnter onDragExit "
    "onDragLeave onDragOver onDragStart onDrop onInput onKeyPress "
    "onMouseMove onMouseOut onMouseOver onPaste onScroll onSelect "
    "onTouchCancel onTouchMove onWheel onPointerDown onPointerUp onPointerMove "
    "onPointerEnter onPointerLeave onPointerCancel onPointerOver onPointerOut onGotPointerCapture "
    "onLostPointerCapture onSubmit onInvalid onTransitionEnd onAnimationStart onAnimationEnd "
    "onAnimationIteration onLoad onError"
)

ICONS = _words(
    "home notifications warning error check_circle cancel schedule hourglass_empty settings list show_chart "
    "history person visibility lock lock_open power_settings_new favorite cloud_off sync help info arrow_forward "
    "arrow_back chevron_left chevron_right download search precision_manufacturing assignment menu brightness_6 "
    "block play_arrow login logout close refresh"
)
"""The `material/…` icons that the preview draws."""

ROLES = frozenset({"Operator", "Engineer", "Administrator"})
"""Levels below Authenticated/Roles that docs/ignition.md tells the integrator to make."""


def is_known_type(name: str) -> bool:
    """Whether Ignition has this component, or may have it: other vendors' modules have prefixes of their own."""
    return (
        name in COMPONENTS
        or name in NOT_DRAWN
        or not name.startswith("ia.")
        or (name.startswith(NOT_DRAWN_FAMILIES))
    )
