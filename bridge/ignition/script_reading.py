"""What a script refers to, read from its syntax tree: library names, text constants, functions of the platform."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bridge.ignition.finding import Finding
from bridge.ignition.resources import ProjectFiles
from bridge.ignition.scripts import Body

_MAKE_COMMON = "write what Python 2.7 and 3 both understand: print(…), except X as e"


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
    """A text constant.

    call: the last name of the function that it is given to, `function` its dotted name. names: the constant keys
    of a dictionary given in the same call, if any.
    """

    text: str
    line: int
    call: str = ""
    position: int | str = -1
    names: frozenset[str] | None = None
    function: str = ""


@dataclass(slots=True)
class Reading:
    """What a body says, as far as it can be read without running it; `platform` is what it uses of `system`."""

    references: list[Reference] = field(default_factory=list)
    literals: list[Literal] = field(default_factory=list)
    platform: list[Reference] = field(default_factory=list)


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
        self._bound: frozenset[str] = frozenset()
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
        self._bound = frozenset(bound)
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
        if item.id == "system" and "system" not in self._bound:
            dotted = ".".join([item.id, *reversed(parts)])
            self.reading.platform.append(Reference(dotted=dotted, line=node.lineno))
        start = self._aliases.get(item.id) or (item.id if item.id in self._roots else None)
        if start is not None:
            dotted = ".".join([start, *reversed(parts)])
            self.reading.references.append(Reference(dotted=dotted, line=node.lineno))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        function = _dotted(node.func)
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
                    Literal(
                        text=text,
                        line=value.lineno,
                        call=str(name),
                        position=position,
                        names=names,
                        function=function,
                    )
                )
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and id(node) not in self._told:
            self.reading.literals.append(Literal(text=node.value, line=node.lineno))

    def _text(self, value: ast.expr) -> str | None:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
        return self._constants.get(value.id) if isinstance(value, ast.Name) else None


def _dotted(function: ast.expr) -> str:
    """`system.util.sendMessage` of a call; empty for a function that is computed."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    return ".".join([function.id, *reversed(parts)]) if isinstance(function, ast.Name) else ""


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
