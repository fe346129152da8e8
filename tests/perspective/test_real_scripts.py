"""The whole way: browser frames, real Jython, a real database and tags, as the gateway command serves them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
import requests
from gateway.gateway_stand import atomic, operator_url, project, query, resource, tag_file
from gateway.gateway_stand import script as library
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from perspective.perspective_stand import OPERATOR_ONLY, Json, button, expr, label, nodes, part, script, view
from perspective.perspective_stand import query as query_binding
from simulator.gateway.process import GatewayProcess

MODULE = "com.inductiveautomation.perspective"
SCRIPT = """
def add(self):
	word = self.getSibling("Word").props.text
	system.db.runNamedQuery("Probe/add", {"word": word + "/" + self.session.props.auth.user.userName})
	self.view.custom.said = "added " + word
	self.view.refreshBinding("custom.rows")

def told(rows):
	return [{"word": row["word"].upper()} for row in rows]
"""
LEFT = (
    "word = self.rootContainer.getChild('Word').props.text; "
    "system.util.getLogger('probe').info('left with %s, %s' % (self.custom.said + word, self.page.props.path))"
)
HOME = view(
    label("Said", expr("{view.custom.said} + ', ' + len({view.custom.rows})")),
    label("Tag", {"type": "tag", "config": {"mode": "direct", "tagPath": "[default]Note"}}),
    part("ia.input.text-field", "Word", {"text": ""}),
    button("Add", {**script("probe.ui.add(self)"), "permissions": OPERATOR_ONLY}),
    button("Broken", script("nonsense.nowhere()")),
    part(
        "ia.display.flex-repeater",
        "Cards",
        {"path": "Card"},
        propConfig={
            "props.instances": {"binding": {"type": "property", "config": {"path": "view.custom.rows"}}}
        },
    ),
    custom={"rows": [], "said": "nothing"},
    events={"system": {"onShutdown": script(LEFT)}},
    propConfig={
        "custom.rows": {
            "binding": query_binding(
                "Probe/all", "0.3", {"type": "script", "code": "\treturn probe.ui.told(value)"}
            )
        }
    },
)
CARD = view(label("Card", expr("{view.params.word}")), params={"word": ""})


def perspective(path: str, name: str, content: str) -> dict[str, str]:
    return {f"{MODULE}/{path}/{name}": content, f"{MODULE}/{path}/resource.json": resource(name)}


@pytest.fixture(scope="module")
def database(fresh_database: Callable[..., str]) -> str:
    url = fresh_database()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("create table probe (word text, at timestamptz default now())")
        owner.execute("grant select, insert on probe to bridge_operator")
    return url


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("perspective")
    pages = {"pages": {"/": {"title": "Home", "viewPath": "Home"}}}
    built = project(
        folder / "Probe.zip",
        library("probe/ui", SCRIPT),
        query("Probe/all", "select word, at from probe order by at"),
        query("Probe/add", "insert into probe (word) values (:word)", "UpdateQuery", word=7),
        perspective("page-config", "config.json", json.dumps(pages)),
        perspective("views/Home", "view.json", json.dumps(HOME)),
        perspective("views/Card", "view.json", json.dumps(CARD)),
        perspective(
            "startup", "onStartup.py", "def onStartup(session):\n\tprint 'hello', session.props.id\n"
        ),
    )
    tags = tag_file(folder / "tags.json", atomic("Note", "String", value="hello"))
    arguments = ("--project", str(built), "--tags", str(tags), "--database", operator_url(database))
    with GatewayProcess.start(*arguments, "--hmi", "0") as process:
        yield process


class Browser:
    """As much of the client as a test needs: cookies, one websocket, and the nodes it was told of."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.home = gateway.ready.split()[-1]
        self.http = requests.Session()
        assert self.http.get(self.home, timeout=10).status_code == 200
        self.nodes: dict[int, Json] = {}
        self.frames: list[Json] = []
        self.socket: ClientConnection | None = None
        self._end = ExitStack()

    def login(self, name: str) -> None:
        origin = self.home.partition("/data/")[0]
        form = {"name": name, "password": name, "return": "/data/perspective/client/Probe/"}
        found = self.http.post(
            f"{origin}/idp/login", data=form, headers={"Origin": origin}, allow_redirects=False, timeout=10
        )
        assert found.status_code == 303

    def open(self, origin: str | None = None) -> None:
        host = self.home.split("/")[2]
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.http.cookies)
        self.socket = connect(
            f"ws://{host}/data/perspective/socket/Probe",
            origin=Origin(origin or f"http://{host}"),
            additional_headers={"Cookie": cookies},
        )
        self._end.enter_context(self.socket)
        self.send(t="hello", path="/", width=1280, height=800, tz="UTC")

    def send(self, **message: Any) -> None:
        assert self.socket is not None
        self.socket.send(json.dumps(message))

    def until(self, seen: Callable[[Browser], bool], deadline_s: float = 40.0) -> None:
        assert self.socket is not None
        while not seen(self):
            self._take(json.loads(self.socket.recv(timeout=deadline_s)))

    def _take(self, frame: Json) -> None:
        self.frames.append(frame)
        for node in nodes(frame):
            self.nodes[node["id"]] = node
        for entry in frame.get("set", []):
            scope, _, key = entry["k"].partition(".")
            if key:
                self.nodes[entry["id"]][scope][key] = entry["v"]

    def named(self, name: str) -> Json:
        return next(node for node in reversed(self.nodes.values()) if node["name"] == name)

    def texts(self, name: str) -> list[str]:
        return [node["props"]["text"] for node in self.nodes.values() if node["name"] == name]

    def press(self, name: str) -> None:
        number = self.named(name)["id"]
        self.send(t="event", id=number, category="component", name="onActionPerformed", event={})

    def close(self) -> None:
        self.http.close()
        self._end.close()


@pytest.fixture
def browser(gateway: GatewayProcess) -> Iterator[Browser]:
    one = Browser(gateway)
    yield one
    one.close()


def test_an_operator_presses_and_everybody_sees(gateway: GatewayProcess, browser: Browser) -> None:
    other = Browser(gateway)
    other.open()
    other.until(lambda one: bool(one.frames))
    browser.login("operator")
    browser.open()
    browser.until(lambda one: bool(one.frames))
    assert browser.frames[0]["user"] == "operator"
    assert browser.texts("Tag") == ["hello"]
    browser.send(t="set", id=browser.named("Word")["id"], path="props.text", value="<b>ü</b>")
    browser.press("Add")
    browser.until(lambda one: one.texts("Said")[-1] == "added <b>ü</b>, 1")
    browser.until(lambda one: one.texts("Card") == ["<B>Ü</B>/OPERATOR"])
    other.until(lambda one: one.texts("Card") == ["<B>Ü</B>/OPERATOR"])
    gateway.order('write [default]Note "changed"')
    browser.until(lambda one: one.texts("Tag")[-1] == "changed")
    other.close()


def test_a_viewer_cannot_and_the_log_says_so(
    gateway: GatewayProcess, browser: Browser, database: str
) -> None:
    browser.login("viewer")
    browser.open()
    browser.until(lambda one: bool(one.frames))
    with psycopg.connect(database) as owner:
        before = owner.execute("select count(*) from probe").fetchone()
        browser.press("Add")
        browser.press("Broken")
        gateway.order('write [default]Note "after"')
        browser.until(lambda one: one.texts("Tag")[-1] == "after")
        assert owner.execute("select count(*) from probe").fetchone() == before
    assert "user 'viewer' lacks the permission" in gateway.log()


def test_a_broken_script_is_in_the_log_by_file_and_component(
    gateway: GatewayProcess, browser: Browser
) -> None:
    browser.open()
    browser.until(lambda one: bool(one.frames))
    browser.press("Broken")
    deadline = time.monotonic() + 20
    while "root/Broken" not in gateway.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "views/Home/view.json · root/Broken" in gateway.log()


def test_a_view_that_goes_still_reads_what_it_had(gateway: GatewayProcess, browser: Browser) -> None:
    browser.open()
    browser.until(lambda one: bool(one.frames))
    browser.send(t="nav", path="/elsewhere")
    deadline = time.monotonic() + 20
    while "left with" not in gateway.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "left with nothing, /elsewhere" in gateway.log()


def test_orders_list_and_expire_sessions(gateway: GatewayProcess, browser: Browser) -> None:
    browser.login("engineer")
    browser.open()
    browser.until(lambda one: bool(one.frames))
    listed = gateway.order("sessions")["sessions"]
    assert "engineer" in [one["username"] for one in listed]
    assert gateway.order("expire engineer") == {"ended": 1}
    browser.until(lambda one: one.frames[-1]["t"] == "closed")
    assert "engineer" not in [one["username"] for one in gateway.order("sessions")["sessions"]]


def test_a_websocket_of_another_site_is_refused(browser: Browser) -> None:
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        browser.open(origin="http://evil.example")


def test_the_login_form_escapes_and_stays_here(browser: Browser) -> None:
    origin = browser.home.partition("/data/")[0]
    form = {"name": '"><script>', "password": "x", "return": "https://evil.example/"}
    wrong = browser.http.post(f"{origin}/idp/login", data=form, headers={"Origin": origin}, timeout=10)
    assert wrong.status_code == 401
    assert "<script>" not in wrong.text
    assert "evil.example" not in wrong.text
    elsewhere = browser.http.post(f"{origin}/idp/login", data=form, timeout=10)
    assert elsewhere.status_code == 403
    cookie = next(iter(browser.http.cookies))
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "lax"
