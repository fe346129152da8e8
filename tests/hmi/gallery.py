"""A page with every component of the catalogue, in the states that people meet."""

from __future__ import annotations

from typing import Any

from hmi.stage import Node, column, node

T0 = 1_767_225_600_000
HOUR = 3_600_000
FIRM = {"shrink": 0}
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>bold</b>"


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "equipment": f"REACTOR_{number % 7:02d}",
            "temperature": 50 + number / 10,
            "opened": T0 + number * 60_000,
            "armed": number % 2 == 0,
            "note": None if number % 3 else "hot outlet",
        }
        for number in range(count)
    ]


COLUMNS = [
    {"field": "equipment", "header": {"title": "Equipment"}, "width": 180},
    {
        "field": "temperature",
        "header": {"title": "Temperature °C"},
        "render": "number",
        "numberFormat": "0.0",
    },
    {"field": "opened", "header": {"title": "Opened"}, "render": "date", "dateFormat": "YYYY-MM-DD HH:mm"},
    {"field": "armed", "header": {"title": "Armed"}, "render": "boolean"},
    {"field": "note", "header": {"title": "Note"}, "sortable": False},
]


def trend(count: int = 120) -> list[dict[str, Any]]:
    """An hour of two signals with a gap in the middle."""
    return [
        {
            "t_stamp": T0 + number * HOUR // count,
            "temperature": None if 50 <= number < 60 else 70 + 8 * ((number * number) % 17) / 17 + number / 8,
            "setpoint": 78,
        }
        for number in range(count)
    ]


def chart(name: str = "Trend", **props: Any) -> Node:
    given: dict[str, Any] = {
        "title": {"visible": True, "text": "REACTOR_02 · outlet temperature"},
        "series": [{"name": "signals", "data": trend()}],
        "plots": [
            {
                "axes": [{"label": "°C"}],
                "trends": [
                    {
                        "series": "signals",
                        "baselines": [{"value": 88, "label": "alarm limit", "color": "var(--error)"}],
                    }
                ],
                "markers": [
                    {"startDate": T0 + HOUR // 2 + 600_000, "endDate": T0 + HOUR * 5 // 6, "label": "anomaly"}
                ],
            }
        ],
        "legend": {"visible": True},
        **props,
    }
    return node("ia.chart.timeseries", name, position={"basis": "260px", "shrink": 0}, props=given)


def card(title: str, *children: Node, **style: Any) -> Node:
    heading = node("ia.display.label", "Heading", text=title, style={"classes": "Text/Heading"})
    look = {
        "backgroundColor": "var(--container)",
        "border": "1px solid var(--containerBorder)",
        "borderRadius": 6,
        "padding": "14px 16px",
        "gap": "10px",
        **style,
    }
    return node(
        "ia.container.flex",
        title.replace(" ", ""),
        heading,
        *children,
        direction="column",
        style=look,
        position={"grow": 1, "shrink": 0, "basis": "340px"},
    )


def labelled(text: str, control: Node) -> Node:
    label = node(
        "ia.display.label", f"{control['name']}Label", text=text, position={"basis": "130px", "shrink": 0}
    )
    control["position"] = {"grow": 1, **control["position"]}
    return node(
        "ia.container.flex",
        f"{control['name']}Row",
        label,
        control,
        alignItems="center",
        style={"gap": "8px"},
    )


def buttons() -> Node:
    pressed = ["onActionPerformed"]
    return node(
        "ia.container.flex",
        "Buttons",
        node("ia.input.button", "Approve", text="Approve", events=pressed, meta={"domId": "approve-1"}),
        node("ia.input.button", "Defer", text="Defer", primary=False, events=pressed),
        node("ia.input.button", "Locked", text="Reject", enabled=False, events=pressed),
        node(
            "ia.input.button",
            "WithIcon",
            text="History",
            primary=False,
            image={"icon": {"path": "material/history"}},
            events=pressed,
        ),
        wrap="wrap",
        style={"gap": "10px"},
    )


def inputs() -> Node:
    options = [{"label": "30 minutes", "value": 1800}, {"label": "1 hour", "value": 3600}]
    done = ["onActionPerformed"]
    return card(
        "Inputs",
        labelled(
            "Reason", node("ia.input.text-field", "Reason", text="", placeholder="why not", events=done)
        ),
        labelled("Comment", node("ia.input.text-area", "Comment", text="two\nlines")),
        labelled("Throughput", node("ia.input.numeric-entry-field", "Throughput", value=12.5, format="0.00")),
        labelled(
            "Defer for", node("ia.input.dropdown", "Duration", options=options, value=3600, events=done)
        ),
        labelled("Locked", node("ia.input.text-field", "Locked", text="cannot be changed", enabled=False)),
        node("ia.input.toggle-switch", "Armed", selected=True, label={"text": "Armed"}, events=done),
        node("ia.input.checkbox", "Agree", selected=False, text="I have looked at the plant", events=done),
        buttons(),
    )


def shows() -> Node:
    names = [
        "home",
        "notifications",
        "warning",
        "error",
        "check_circle",
        "cancel",
        "schedule",
        "hourglass_empty",
    ]
    names += ["settings", "list", "show_chart", "history", "person", "visibility", "lock", "lock_open"]
    names += [
        "power_settings_new",
        "favorite",
        "cloud_off",
        "sync",
        "help",
        "info",
        "arrow_forward",
        "arrow_back",
    ]
    names += [
        "chevron_left",
        "chevron_right",
        "download",
        "search",
        "precision_manufacturing",
        "assignment",
        "menu",
    ]
    names += ["brightness_6", "block", "play_arrow", "login", "logout", "close", "refresh"]
    icons = [node("ia.display.icon", f"Icon{name}", path=f"material/{name}") for name in names]
    source = "**Root cause**: cooling valve *stuck*.\n\n- flow fell to `0.2`\n- see [manual](https://example.org/m)"
    return card(
        "Shown",
        node("ia.display.label", "Text", text="An ordinary label"),
        node("ia.display.label", "Markup", text=MARKUP),
        node("ia.display.markdown", "Cause", source=source, markdown={"escapeHtml": True}),
        node("ia.display.progress", "Confidence", value=87),
        node(
            "ia.display.label",
            "Lost",
            text="71.3 °C",
            quality="Bad_NotConnected",
            style={"padding": "6px 8px"},
        ),
        node(
            "ia.display.strange",
            "Strange",
            red="Pages/Probe · root/Strange: type ia.display.strange is not known",
        ),
        node("ia.container.flex", "Icons", *icons, wrap="wrap", style={"gap": "10px"}),
    )


def states() -> Node:
    def chip(name: str, icon: str, text: str) -> Node:
        return node(
            "ia.container.flex",
            name,
            node("ia.display.icon", "Icon", path=f"material/{icon}", color=f"var(--{name.lower()})"),
            node(
                "ia.display.label",
                "Text",
                text=text,
                style={"color": f"var(--{name.lower()})", "fontWeight": 600},
            ),
            alignItems="center",
            style={
                "gap": "8px",
                "padding": "6px 12px",
                "borderRadius": 5,
                "backgroundColor": f"var(--{name.lower()}Background)",
            },
        )

    return node(
        "ia.container.flex",
        "States",
        chip("Error", "error", "Agent offline for 4 min"),
        chip("Warning", "warning", "Outcome unknown"),
        chip("Success", "check_circle", "Verified"),
        chip("Info", "info", "Disarmed by engineer"),
        wrap="wrap",
        style={"gap": "10px"},
        position={"shrink": 0},
    )


def table(name: str, data: list[dict[str, Any]], **props: Any) -> Node:
    settings = {"columns": COLUMNS, "emptyMessage": {"noData": {"text": "Nothing waits"}}, **props}
    return node(
        "ia.display.table",
        name,
        props={"data": data, **settings},
        events=["onRowClick", "onSelectionChange"],
        position={"basis": "330px", "shrink": 0},
    )


def places() -> Node:
    tabs = node(
        "ia.container.tab",
        "Tabs",
        node("ia.display.label", "First", text="first tab", position={"tabIndex": 0}),
        node("ia.display.label", "Second", text="second tab", position={"tabIndex": 1}),
        tabs=["Signals", "Evidence"],
        currentTabIndex=0,
        position={"basis": "110px"},
    )
    coord = node(
        "ia.container.coord",
        "Coord",
        node(
            "ia.display.label",
            "Placed",
            text="at 10 %",
            position={"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.5},
        ),
        mode="percent",
        position={"basis": "70px"},
        style={"backgroundColor": "var(--neutral-30)"},
    )
    breakpoint_box = node(
        "ia.container.breakpt",
        "Break",
        node("ia.display.label", "Small", text="narrow", position={"size": "small"}),
        node("ia.display.label", "Large", text="wide", position={"size": "large"}),
        breakpoint=640,
    )
    inner = node("ia.container.flex", "root", node("ia.display.label", "In", text="embedded"))
    repeated = [
        node(
            "ia.container.flex",
            "root",
            node("ia.display.label", "N", text=f"instance {number}"),
            instance={"style": {"border": "1px solid var(--border)", "padding": "4px"}, "position": {}},
        )
        for number in range(3)
    ]
    return card(
        "Containers",
        tabs,
        coord,
        breakpoint_box,
        node("ia.display.view", "Embedded", inner, path="Parts/Inner"),
        node("ia.display.flex-repeater", "Repeater", *repeated, path="Parts/N", style={"gap": "6px"}),
    )


MENU = [
    {
        "label": {"text": "Recommendations", "icon": {"path": "material/notifications"}},
        "target": "/recommendations",
    },
    {
        "label": {"text": "Equipment", "icon": {"path": "material/precision_manufacturing"}},
        "target": "/equipment",
    },
    {"label": {"text": "Commands", "icon": {"path": "material/play_arrow"}}, "target": "/commands"},
    {"label": {"text": "Off", "icon": {"path": "material/block"}}, "target": "/off", "enabled": False},
    {
        "label": {"text": "More", "icon": {"path": "material/menu"}},
        "items": [{"label": {"text": "Audit"}, "target": "/audit"}],
    },
]


def docks() -> list[dict[str, Any]]:
    agent = node(
        "ia.display.label", "Agent", text="Agent running · 0.4 s ago", meta={"domId": "header-agent"}
    )
    header = node(
        "ia.container.flex",
        "root",
        node("ia.display.label", "Product", text="Bridge", style={"fontWeight": 700, "fontSize": 17}),
        node("ia.display.icon", "Heart", path="material/favorite", color="var(--success)"),
        agent,
        node("ia.display.label", "Space", text="", position={"grow": 1}),
        node("ia.display.icon", "Who", path="material/person"),
        node("ia.display.label", "User", text="operator"),
        node("ia.input.button", "Theme", text="Theme", primary=False, events=["onActionPerformed"]),
        alignItems="center",
        style={"gap": "12px", "padding": "0 16px"},
    )
    menu = node(
        "ia.container.flex", "root", node("ia.navigation.menutree", "Menu", items=MENU), direction="column"
    )
    return [
        {"id": "header", "side": "top", "size": 64, "content": "push", "show": "visible", "node": header},
        {"id": "menu", "side": "left", "size": 220, "content": "push", "show": "visible", "node": menu},
    ]


def everything() -> Node:
    return column(
        node(
            "ia.display.label",
            "Title",
            text="Every component",
            style={"classes": "Text/Title"},
            position={"shrink": 0},
        ),
        states(),
        node(
            "ia.container.flex",
            "Cards",
            inputs(),
            shows(),
            places(),
            wrap="wrap",
            style={"gap": "14px"},
            position={"shrink": 0},
        ),
        table(
            "Waiting",
            rows(40),
            pager={"bottom": True, "initialOption": 10, "options": [10, 25]},
            filter={"enabled": True},
        ),
        table("Empty", []),
        chart(),
        node("ia.navigation.horizontalmenu", "Across", items=MENU, position={"shrink": 0}),
        style={"gap": "14px", "padding": "18px"},
    )


CSS = """
.psc-Text\\/Title { font-size: 22px; font-weight: 600; }
.psc-Text\\/Heading { font-size: 15px; font-weight: 600; }
"""
