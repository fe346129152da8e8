"""Every script body of a project, wherever Ignition keeps it, and what it refers to.

Bodies in JSON start with a tab on every line, because the platform puts a `def` line above them. An
unindented one imports and exports perfectly and never runs.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.ignition.finding import Finding
from bridge.ignition.json_values import as_list
from bridge.ignition.resources import PERSPECTIVE, ProjectFiles

_TAG_EVENT = "tag, tagPath, previousValue, currentValue, initialChange, missedEvents"
_SESSION_EVENTS = {
    "onStartup": "session",
    "onShutdown": "session",
    "onPageStartup": "page",
    "onBarcodeDataReceived": "session, data, context",
    "onBluetoothReceived": "session, data",
    "onAccelerometerDataReceived": "session, data",
    "onNdefDataReceived": "session, data, context",
}
_MAKE_COMMON = "write what Python 2.7 and 3 both understand: print(…), except X as e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One script. `head` is the def line that the platform puts above a body kept in JSON, else empty."""

    file: str
    place: str
    text: str
    head: str = ""

    @property
    def source(self) -> str:
        """What the gateway compiles."""
        return f"{self.head}\n{self.text}\n" if self.head else self.text

    def at(self, line: int) -> str:
        """Where a line of `source` is, in the words of the reader's editor."""
        number = max(line - 1, 1) if self.head else max(line, 1)
        return f"{self.place}, line {number}" if self.place else f"line {number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The project's script modules: what each defines at its top level; None when it cannot be read."""

    modules: Mapping[str, frozenset[str] | None]

    @property
    def roots(self) -> frozenset[str]:
        """The first names: `bridge` of `bridge.gateway.watch`."""
        return frozenset(name.partition(".")[0] for name in self.modules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A name of the script library that a body uses, such as `bridge.gateway.watchAgent`."""

    dotted: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A text constant; `names` are the constant keys of a dictionary given in the same call, if any."""

    text: str
    line: int
    call: str = ""
    position: int | str = -1
    names: frozenset[str] | None = None


@dataclass(slots=True)
class Reading:
    """What a body says, as far as it can be read without running it."""

    references: list[Reference] = field(default_factory=list)
    literals: list[Literal] = field(default_factory=list)


def bodies(project: ProjectFiles, documents: Mapping[str, Any], tags: Any, tags_file: str) -> Iterator[Body]:
    """All scripts: libraries, handlers, views, session events of 8.1, and tags."""
    for path, content in sorted(project.shipped.items()):
        if path.endswith(".py"):
            yield Body(file=path, place="", text=content.decode("utf-8-sig", "replace"))
    for path, document in sorted(documents.items()):
        if path.startswith(f"{PERSPECTIVE}/views/") and path.endswith("/view.json"):
            yield from _view_bodies(path, document)
        elif path == f"{PERSPECTIVE}/session-scripts/data.bin" and isinstance(document, dict):
            yield from _session_bodies(path, document)
    if tags is not None:
        yield from _tag_bodies(tags_file, tags, "")


def walk(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a JSON document with its path; components are called by their names."""
    yield place, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            meta = item.get("meta") if isinstance(item, dict) else None
            name = (meta.get("name") if isinstance(meta, dict) else None) or number
            yield from walk(item, f"{place}[{name}]")


def _view_bodies(path: str, document: Any) -> Iterator[Body]:
    for place, value in walk(document):
        if not isinstance(value, dict):
            continue
        last = place.rpartition(".")[2]
        config = value.get("config")
        if (
            value.get("type") == "script"
            and isinstance(config, dict)
            and isinstance(config.get("script"), str)
        ):
            yield Body(file=path, place=place, text=config["script"], head="def runAction(self, event):")
        elif value.get("type") == "script" and isinstance(value.get("code"), str):
            head = "def transform(self, value, quality, timestamp):"
            yield Body(file=path, place=place, text=value["code"], head=head)
        elif last == "onChange" and isinstance(value.get("script"), str):
            head = "def valueChanged(self, previousValue, currentValue, origin, missedEvents):"
            yield Body(file=path, place=place, text=value["script"], head=head)
        elif "messageType" in value and isinstance(value.get("script"), str):
            head = "def onMessageReceived(self, payload):"
            yield Body(file=path, place=place, text=value["script"], head=head)
        elif isinstance(value.get("script"), str) and isinstance(value.get("params"), list):
            given = ", ".join(["self", *map(str, value["params"])])
            yield Body(
                file=path, place=place, text=value["script"], head=f"def {value.get('name')}({given}):"
            )


def _session_bodies(path: str, document: Mapping[str, Any]) -> Iterator[Body]:
    for name, given in _SESSION_EVENTS.items():
        if isinstance(document.get(name), str):
            yield Body(file=path, place=name, text=document[name], head=f"def {name}({given}):")
    for handler in as_list(document.get("messageHandlers")):
        if isinstance(handler, dict) and isinstance(handler.get("script"), str):
            place = f"messageHandlers[{handler.get('name')}]"
            head = "def handleMessage(session, payload):"
            yield Body(file=path, place=place, text=handler["script"], head=head)


def _tag_bodies(file: str, node: Any, above: str) -> Iterator[Body]:
    if not isinstance(node, dict):
        return
    path = f"{above}/{node.get('name', '')}".strip("/")
    for event in as_list(node.get("eventScripts")):
        if isinstance(event, dict) and isinstance(event.get("script"), str):
            name = str(event.get("eventid"))
            given = (
                _TAG_EVENT
                if name.endswith("Changed")
                else "tag, tagPath, alarmName, alarmEvent, alarmPath, missedEvents"
            )
            yield Body(file=file, place=f"{path} {name}", text=event["script"], head=f"def {name}({given}):")
    for child in as_list(node.get("tags")):
        yield from _tag_bodies(file, child, path)


def check_form(body: Body, signature: str | None) -> Iterator[Finding]:
    """Check what compiling does not tell: tabs, the def line, characters that Jython reads otherwise."""
    lines = body.text.split("\n")
    if body.head:
        bare = [
            number for number, line in enumerate(lines, start=1) if line.strip() and not line.startswith("\t")
        ]
        for number in bare[:1] if bare and not _inside_text(body, bare) else ():
            yield Finding(
                file=body.file,
                place=f"{body.place}, line {number}",
                what="does not start with a tab; the gateway puts a def line above, and the script never runs",
                mend="indent every line of the body by one tab",
            )
    elif signature is not None and lines[0].rstrip() != f"def {signature}:":
        yield Finding(
            file=body.file,
            place="line 1",
            what=f"wanted 'def {signature}:', found {lines[0].strip()[:80]!r}",
            mend="start with the def line that the gateway calls, nothing above it",
        )
    yield from _check_tokens(body)


def _inside_text(body: Body, numbers: list[int]) -> bool:
    """Whether every one of these lines is the inside of a string over several lines."""
    inside: set[int] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(body.source).readline):
            if token.type == tokenize.STRING:
                inside.update(range(token.start[0] + 1, token.end[0] + 1))
    except (tokenize.TokenError, SyntaxError):
        return False
    return all(number + 1 in inside for number in numbers)


def _check_tokens(body: Body) -> Iterator[Finding]:
    indents: set[str] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(body.source).readline):
            if (
                token.type == tokenize.INDENT
                and not {*indents, *token.string} <= {"\t"}
                and {
                    *indents,
                    *token.string,
                }
                != {" "}
            ):
                yield Finding(
                    file=body.file,
                    place=body.at(token.start[0]),
                    what="mixes tabs and spaces as indentation",
                    mend="indent by tabs throughout",
                )
                return
            if token.type == tokenize.INDENT:
                indents.update(token.string)
            elif (
                token.type == tokenize.STRING
                and not token.string.isascii()
                and "u" not in token.string[:2].lower()
                and not _is_docstring(token)
            ):
                yield Finding(
                    file=body.file,
                    place=body.at(token.start[0]),
                    what=f"the text {token.string[:40]} is not ASCII; Jython keeps its UTF-8 bytes as characters",
                    mend="put a u in front of it",
                )
            elif token.type == tokenize.COMMENT and token.start[0] <= 2 and "coding" in token.string:
                yield Finding(
                    file=body.file,
                    place=body.at(token.start[0]),
                    what="declares an encoding; the gateway compiles text, and Jython refuses the declaration there",
                    mend="take the line out",
                )
    except (tokenize.TokenError, SyntaxError):
        return  # compiling tells where and why


def _is_docstring(token: tokenize.TokenInfo) -> bool:
    """A text that stands alone at the start of its line; nobody sees it at run time."""
    return token.line.lstrip().startswith(token.string.split("\n")[0])


def library(project: ProjectFiles) -> Library:
    """The script modules and the names that they define at the top level."""
    modules = {}
    for resource in project.resources():
        if resource.kind.folder == "ignition/script-python":
            code = project.files.get(f"{resource.folder}/code.py", b"")
            tree = _parse(code.decode("utf-8-sig", "replace"))
            names = None if tree is None else frozenset(_top_names(tree.body))
            modules[resource.name.replace("/", ".")] = None if names and "*" in names else names
    return Library(modules=modules)


def _parse(source: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return None


def _top_names(statements: list[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For):
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                yield from _top_names(getattr(statement, part, []))
        for handler in getattr(statement, "handlers", []):
            yield from _top_names(handler.body)


def read_body(body: Body, roots: frozenset[str]) -> Reading | Finding:
    """What a body refers to; a finding when it is not in the common subset of Python 2.7 and 3."""
    tree = _parse(body.source)
    if tree is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ast.parse(body.source)
                line, message = 1, "cannot be read"
            except SyntaxError as problem:
                line, message = problem.lineno or 1, problem.msg
            except (ValueError, RecursionError) as problem:
                line, message = 1, str(problem)
        return Finding(
            file=body.file, place=body.at(line), what=f"is not Python: {message}", mend=_MAKE_COMMON
        )
    reader = _Reader(roots)
    reader.visit(tree)
    return reader.reading


class _Reader(ast.NodeVisitor):
    def __init__(self, roots: frozenset[str]) -> None:
        self._roots = roots
        self._aliases: dict[str, str] = {}
        self._constants: dict[str, str] = {}
        self._told: set[int] = set()
        self.reading = Reading()

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            if (
                isinstance(statement, ast.Assign)
                and len(statement.targets) == 1
                and isinstance(statement.targets[0], ast.Name)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                self._constants[statement.targets[0].id] = statement.value.value
        self._note_imports(node)
        bound = {
            item.id
            for item in ast.walk(node)
            if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
        }
        bound |= {item.arg for item in ast.walk(node) if isinstance(item, ast.arg)}
        self._roots = self._roots - bound
        self._aliases = {name: path for name, path in self._aliases.items() if name not in bound}
        self.generic_visit(node)

    def _note_imports(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and node.module.partition(".")[0] in self._roots
            ):
                for alias in node.names:
                    dotted = f"{node.module}.{alias.name}" if alias.name != "*" else node.module
                    self.reading.references.append(Reference(dotted=dotted, line=node.lineno))
                    self._aliases[alias.asname or alias.name] = dotted
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.partition(".")[0] in self._roots:
                        self.reading.references.append(Reference(dotted=alias.name, line=node.lineno))
                        if alias.asname:
                            self._aliases[alias.asname] = alias.name

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts: list[str] = []
        item: ast.expr = node
        while isinstance(item, ast.Attribute):
            parts.append(item.attr)
            item = item.value
        if not isinstance(item, ast.Name):
            self.generic_visit(node)
            return
        start = self._aliases.get(item.id) or (item.id if item.id in self._roots else None)
        if start is not None:
            dotted = ".".join([start, *reversed(parts)])
            self.reading.references.append(Reference(dotted=dotted, line=node.lineno))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given: list[tuple[int | str, ast.expr]] = [
            *enumerate(node.args),
            *((word.arg, word.value) for word in node.keywords if word.arg),
        ]
        dictionaries = [names for _, value in given if (names := _keys(value)) is not None]
        names = dictionaries[0] if len(dictionaries) == 1 else None
        for position, value in given:
            text = self._text(value)
            if text is not None:
                self._told.add(id(value))
                self.reading.literals.append(
                    Literal(text=text, line=value.lineno, call=str(name), position=position, names=names)
                )
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and id(node) not in self._told:
            self.reading.literals.append(Literal(text=node.value, line=node.lineno))

    def _text(self, value: ast.expr) -> str | None:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
        return self._constants.get(value.id) if isinstance(value, ast.Name) else None


def _keys(value: ast.expr) -> frozenset[str] | None:
    """The keys of a dictionary display or a dict(…) call when all of them are constants."""
    if isinstance(value, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in value.keys]
        return frozenset(str(key) for key in keys) if all(isinstance(key, str) for key in keys) else None
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "dict" and not value.args:
        words = [word.arg for word in value.keywords]
        return frozenset(str(word) for word in words) if all(words) else None
    return None


def check_reference(reference: Reference, body: Body, known: Library) -> Iterator[Finding]:
    """Check that `bridge.module.name` exists; deeper attributes are the name's own affair."""
    parts = reference.dotted.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if module in known.modules:
            names = known.modules[module]
            if length < len(parts) and names is not None and parts[length] not in names:
                deeper = f"{module}.{parts[length]}."
                if not any(name.startswith(deeper) for name in known.modules):
                    public = ", ".join(sorted(name for name in names if not name.startswith("_")))
                    yield Finding(
                        file=body.file,
                        place=body.at(reference.line),
                        what=f"{module} has no {parts[length]!r}",
                        mend=f"it has {public or 'nothing'}",
                    )
            return
    if len(parts) == 1 or any(name.startswith(f"{reference.dotted}.") for name in known.modules):
        return
    yield Finding(
        file=body.file,
        place=body.at(reference.line),
        what=f"there is no script module for {reference.dotted}",
        mend=f"there are {', '.join(sorted(known.modules)) or 'none'}",
    )
