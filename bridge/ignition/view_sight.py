"""What all checks of one view share: the project around it, and the list of findings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.ignition.check_queries import NamedQuery
from bridge.ignition.finding import Finding, Level
from bridge.ignition.perspective_parts import ROLES
from bridge.ignition.tag_paths import TagPaths
from bridge.ignition.view_expressions import ExpressionBroken, Meaning, read_expression
from bridge.ignition.view_tree import Node, follow, is_reference

NOT_PREVIEWED = "the preview shows a red box in its place; a gateway runs it"
_PARAMETER = re.compile(r":[^/]+")
_IN_BRACES = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What others refer to: views with their parameters, page paths, docks, style classes, session properties.

    styles: None when they cannot be known, because the project inherits from another one.
    """

    parameters: Mapping[str, frozenset[str]]
    pages: tuple[str, ...] | None
    docks: frozenset[str] = frozenset()
    styles: frozenset[str] | None = None
    session_custom: frozenset[str] = frozenset()

    def has_page(self, path: str) -> bool:
        """Whether some page answers this path; `:name` in a page answers any one part."""
        return self.pages is None or any(
            re.fullmatch("[^/]+".join(map(re.escape, _PARAMETER.split(page))), path) for page in self.pages
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One view file in its project; checks add to `findings`."""

    file: str
    views: Views
    queries: Mapping[str, NamedQuery]
    tags: TagPaths | None
    for_81: bool
    findings: list[Finding] = field(default_factory=list)

    def error(self, place: str, what: str, mend: str) -> None:
        """Add what must be mended."""
        self.findings.append(Finding(file=self.file, place=place, what=what, mend=mend))

    def note(self, place: str, what: str, mend: str) -> None:
        """Add what is worth knowing."""
        self.findings.append(Finding(file=self.file, place=place, what=what, mend=mend, level=Level.NOTE))

    def expression(
        self, place: str, text: str, node: Node, *, in_transform: bool = False, advice: str = ""
    ) -> Meaning | None:
        """Check one expression; its meaning when it can be read. advice: a mend that fits the place better."""
        try:
            meaning = read_expression(text)
        except ExpressionBroken as problem:
            if problem.foreign:
                self.note(place, str(problem), NOT_PREVIEWED)
            else:
                self.error(place, f"{text!r} is no expression: {problem}", advice or "correct it")
            return None
        for call in meaning.calls:
            if call.problem is None:
                continue
            if call.foreign:
                self.note(place, call.problem.replace("there is", "the preview has"), NOT_PREVIEWED)
            else:
                self.error(place, call.problem, "correct the call; docs/ignition.md lists the functions")
        for reference in dict.fromkeys(meaning.references):
            if in_transform and re.match(r"\s*value\s*($|[.\[])", reference):
                continue
            if not reference.lstrip().startswith("["):
                self.reference(place, reference, node)
        for text in meaning.texts:
            self.role(place, text)
        return meaning

    def reference(self, place: str, reference: str, node: Node) -> None:
        """Check that a reference leads somewhere."""
        if reference.lstrip().startswith(".../"):
            self.note(place, f"the preview does not read {{{reference}}}", "write ../.. for two levels up")
        nowhere = follow(reference, node, self.views.session_custom)
        if nowhere is not None:
            self.error(place, nowhere.what, nowhere.mend)

    def template(self, place: str, text: str, node: Node) -> None:
        """Check the references in a text with braces, as actions have them."""
        for reference in _IN_BRACES.findall(text):
            if is_reference(reference):
                self.reference(place, reference, node)

    def role(self, place: str, text: str) -> None:
        """Note a level that the integrator is not told to make."""
        start, _, role = text.rpartition("/")
        if start == "Authenticated/Roles" and role not in ROLES:
            self.note(
                place,
                f"the level {text!r} is none that docs/ignition.md tells to make",
                f"there are {', '.join(sorted(ROLES))}; a level that a gateway lacks is never granted",
            )
