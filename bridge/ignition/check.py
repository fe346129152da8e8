"""`project check`: everything about a project that can be proven without a gateway, in one list.

Structure and references are ours; scripts are compiled by real Jython 2.7. What the public linter finds
besides (unmatched brackets in expressions, component schemas) is left to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.errors import JythonMissing, TagFileBroken
from bridge.ignition.check_queries import NamedQuery, check_current, check_queries, read_queries
from bridge.ignition.check_resources import check_resources, check_text
from bridge.ignition.check_tags import check_tags
from bridge.ignition.check_traffic import Said, check_traffic
from bridge.ignition.check_views import check_views, read_views
from bridge.ignition.finding import Finding, Level
from bridge.ignition.jython import Compilation
from bridge.ignition.resources import ProjectFiles, kind_of
from bridge.ignition.script_reading import (
    Library,
    Literal,
    check_reference,
    library,
    read_body,
)
from bridge.ignition.scripts import Body, bodies, check_form
from bridge.ignition.system_functions import unknown
from bridge.ignition.tag_paths import TagPaths
from bridge.ignition.tag_tree import TagTree, resolve
from bridge.ignition.view_sight import Views

_QUERY_CALLS = frozenset(
    {"runNamedQuery", "execQuery", "execScalar", "execUpdate", "execUpdateAsync", "queueUpdate"}
)
_QUERY_PATH = re.compile(r"^[A-Z][A-Za-z0-9]*/[A-Za-z][A-Za-z0-9]*$")
_TAG_PATH = re.compile(r"^\[[A-Za-z0-9 _.~-]+\][^\s].*$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectReport:
    """Findings, in order of files; `looked_at` says what was checked and `not_checked` what could not be.

    findings: what must be mended. notes: what is worth knowing, such as what the preview does not draw.
    """

    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    looked_at: tuple[str, ...]
    not_checked: tuple[str, ...]


def check_project(
    project: ProjectFiles,
    *,
    tags: bytes | None,
    tags_file: str,
    stale: Sequence[str] = (),
    left_out: Mapping[str, str] | None = None,
    for_81: bool = False,
    compile_scripts: bool = True,
) -> ProjectReport:
    """Check a project and the tag file beside it.

    stale: generated files that differ from their source. left_out: named queries that exist for Python
    only, with the reason, so that a reference to one is told why. Raises nothing for a broken project.
    """
    beside = {} if tags is None else {tags_file: tags}
    findings, documents = check_text({**project.shipped, **beside})
    findings += check_resources(project, documents)
    document = documents.pop(tags_file, None)
    tree = None if document is None else _resolve_tags(document, tags_file, findings)
    paths = None if tree is None else TagPaths.of(tree)
    found = list(bodies(project, documents, document, tags_file))
    compilation = _start(found, findings) if compile_scripts else None
    try:
        findings += check_current(stale)
        findings += check_queries(project, documents)
        queries = read_queries(project, documents)
        views = read_views(project, documents)
        findings += check_views(project, documents, views, queries, paths, for_81=for_81)
        if tree is not None and paths is not None:
            findings += check_tags(tree, paths, document, tags_file)
        known = library(project)
        references = _References(known, queries, views, paths, left_out or {})
        for body in found:
            findings += check_form(body, _signature(body))
            if body.text.strip():
                findings += references.check(body)
        findings += check_traffic(project, documents, views, references.said)
        if compilation is not None:
            findings += _compiled(found, compilation)
    finally:
        if compilation is not None:
            compilation.stop()
    looked_at = [
        f"{len(project.shipped)} files, {sum(1 for _ in project.resources())} resources",
        f"{len(queries)} named queries, {len(views.parameters)} views, {len(known.modules)} script modules",
    ]
    not_checked = []
    if compilation is not None:
        looked_at.append(
            f"{sum(1 for body in found if body.text.strip())} script bodies compiled by Jython 2.7"
        )
    else:
        not_checked.append("scripts were not compiled")
    if tree is None:
        not_checked.append("tag paths were not looked up, for want of a readable tag file")
    else:
        looked_at.append(f"{len(tree.tags)} tags in {len(tree.folders)} folders and instances")
    return ProjectReport(
        findings=_of(Level.ERROR, findings),
        notes=_of(Level.NOTE, findings),
        looked_at=tuple(looked_at),
        not_checked=tuple(not_checked),
    )


def _of(level: Level, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys(sorted(finding for finding in findings if finding.level is level)))


def _resolve_tags(document: Any, file: str, findings: list[Finding]) -> TagTree | None:
    try:
        return resolve(document, file=file)
    except TagFileBroken as problem:
        what = str(problem).removeprefix(f"{file}: ")
        findings.append(Finding(file=file, place="", what=what, mend="export or build it again"))
        return None


def _start(found: Sequence[Body], findings: list[Finding]) -> Compilation | None:
    wanted = [body.source for body in found if body.text.strip()]
    if not wanted:
        return None
    try:
        return Compilation(wanted)
    except JythonMissing as problem:
        findings.append(_no_jython(len(wanted), str(problem)))
        return None


def _no_jython(count: int, why: str) -> Finding:
    return Finding(
        file="(this machine)",
        place="",
        what=f"{count} script bodies could not be compiled",
        mend=why,
    )


def _compiled(found: Sequence[Body], compilation: Compilation) -> Iterator[Finding]:
    wanted = [body for body in found if body.text.strip()]
    try:
        results = compilation.results()
    except JythonMissing as problem:
        yield _no_jython(len(wanted), str(problem))
        return
    for body, refused in zip(wanted, results, strict=True):
        if refused is not None:
            yield Finding(
                file=body.file,
                place=body.at(refused.line),
                what=f"does not compile under Jython 2.7: {refused.reason}",
                mend="no f-strings, no annotations, print as a function; indent by tabs",
            )


def _signature(body: Body) -> str | None:
    kind = kind_of(body.file)
    return None if kind is None or body.head else kind[0].handlers.get(body.file.rpartition("/")[2])


class _References:
    """What scripts refer to: library names, named queries with their parameters, tags, views."""

    def __init__(
        self,
        known: Library,
        queries: Mapping[str, NamedQuery],
        views: Views,
        paths: TagPaths | None,
        left_out: Mapping[str, str],
    ) -> None:
        self._known = known
        self._queries = queries
        self._views = views
        self._paths = paths
        self._left_out = left_out
        self.said: list[Said] = []
        self._folders = {path.partition("/")[0] for path in (*queries, *left_out)}

    def check(self, body: Body) -> Iterator[Finding]:
        reading = read_body(body, self._known.roots)
        if isinstance(reading, Finding):
            yield reading
            return
        for reference in reading.references:
            yield from check_reference(reference, body, self._known)
        for used in reading.platform:
            wrong = unknown(used.dotted)
            if wrong is not None:
                yield Finding(file=body.file, place=body.at(used.line), what=wrong[0], mend=wrong[1])
        for literal in reading.literals:
            self.said.append((body, literal))
            yield from self._query(literal, body)
            if self._paths is not None and _TAG_PATH.match(literal.text):
                problem = self._paths.missing(literal.text)
                if problem is not None:
                    yield Finding(
                        file=body.file,
                        place=body.at(literal.line),
                        what=problem,
                        mend="correct the path, or add the tag to tags.json",
                    )
            if literal.call in ("openPopup", "togglePopup") and literal.position in (1, "view"):
                yield from self._view(literal, body)

    def _view(self, literal: Literal, body: Body) -> Iterator[Finding]:
        if literal.text not in self._views.parameters:
            yield Finding(
                file=body.file,
                place=body.at(literal.line),
                what=f"there is no view {literal.text!r}",
                mend=f"there are {', '.join(sorted(self._views.parameters)) or 'none'}",
            )

    def _query(self, literal: Literal, body: Body) -> Iterator[Finding]:
        if not _QUERY_PATH.match(literal.text) or literal.text in self._views.parameters:
            return
        folder = literal.text.partition("/")[0]
        if folder not in self._folders and literal.call not in _QUERY_CALLS:
            return
        query = self._queries.get(literal.text)
        place = body.at(literal.line)
        if query is None:
            reason = self._left_out.get(literal.text)
            beside = sorted(path for path in self._queries if path.startswith(f"{folder}/"))
            yield Finding(
                file=body.file,
                place=place,
                what=f"there is no named query {literal.text!r}"
                + (f": it is for Python only, because {reason}" if reason else ""),
                mend=f"{folder} has {', '.join(beside) or 'none'}",
            )
            return
        if literal.names is None:
            return
        for name in sorted(query.parameters - literal.names):
            yield Finding(
                file=body.file,
                place=place,
                what=f"{query.path} wants {name!r}, which is not given; it would run with NULL",
                mend=f"give {name}",
            )
        for name in sorted(literal.names - query.parameters):
            yield Finding(
                file=body.file,
                place=place,
                what=f"{query.path} has no parameter {name!r}; it is ignored without a word",
                mend=f"it has {', '.join(sorted(query.parameters)) or 'none'}",
            )
