"""`ignition-bridge check`: everything that can be known before the bridge runs, every problem at once.

Findings are problems (the bridge cannot do its work) or warnings (it can, and somebody should know).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from bridge import settings as configuration
from bridge.access import check_urls, nothing_configured, opened, url_key, where_to_look
from bridge.check_databricks import check_warehouse, check_workspace
from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.domain.tag import Tag
from bridge.errors import AccessDenied, BridgeError, ConfigError, QueryError, StoreDown
from bridge.plant import Equipment, Plant
from bridge.publish.check import examine
from bridge.report import Finding, Level, Report
from bridge.settings import Settings
from bridge.storage import on_lakebase, on_warehouse, schema_of, where
from bridge.store import promises, queries
from bridge.store.connection import connect
from bridge.store.desk import Desk, unpublished
from bridge.store.migrate import schema_status

_NOT_SETTINGS = frozenset({"BRIDGE_CONFIG", "BRIDGE_OPERATOR"})


async def check(path: Path | None) -> Report:
    """Look at everything: configuration, workspace, database, roles, published limits, links and tags."""
    settings, plant, findings = read_configuration(path)
    looked_at: list[str] = []
    if settings is not None:
        if plant is not None:
            looked_at.append(
                f"configuration: {len(plant.equipment)} pieces of equipment, {len(plant.tags)} tags, "
                f"{len(plant.writable)} of them writable"
            )
            findings += _sane(settings, plant)
        store, links, edge, workspace = await asyncio.gather(
            _check_store(settings, plant),
            _check_links(settings, plant),
            _check_edge(settings),
            check_workspace(settings),
        )
        for part in (workspace, store, links, _check_published(settings), edge):
            findings += part.findings
            looked_at += part.looked_at
    return Report(findings=findings, looked_at=looked_at, promises=_promises(settings))


def _promises(settings: Settings | None) -> list[str]:
    """What the store in use promises: how much the database keeps by itself, and who keeps the rest."""
    if settings is None:
        return []
    given = promises.WAREHOUSE if on_warehouse(settings) else promises.POSTGRES
    weaker = promises.told(given)
    return [f"{len(given) - len(weaker)} of {len(given)} are kept by the database itself", *weaker]


async def check_before_run(settings: Settings, plant: Plant) -> Report:
    """What `run` insists on. A plant link that is down is left out: the bridge waits for it."""
    return await _check_store(settings, plant)


def read_configuration(path: Path | None) -> tuple[Settings | None, Plant | None, list[Finding]]:
    """The configuration as far as it can be read, and every problem in it."""
    findings: list[Finding] = []
    settings: Settings | None = None
    plant: Plant | None = None
    try:
        queries.load()
    except QueryError as problem:
        findings += [
            Finding(area="config", subject="named_queries", problem=line) for line in _lines(problem)
        ]
    try:
        settings = configuration.load(path)
        plant = Plant.of(settings)
    except ConfigError as problem:
        findings += [Finding(area="config", subject="bridge.toml", problem=line) for line in problem.problems]
    if plant is not None and not plant.equipment:
        findings.append(Finding(area="config", subject="bridge.toml", problem=nothing_configured(path)))
        plant = None
    findings += _strange_variables()
    return settings, plant, findings


def _strange_variables() -> Iterator[Finding]:
    known = {f"BRIDGE_{name.upper()}" for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith("BRIDGE_") and name not in _NOT_SETTINGS and name.split("__")[0] not in known:
            yield Finding(
                area="config",
                subject=name,
                problem="this environment variable belongs to no setting and is ignored",
                advice=f"the first level is one of {', '.join(sorted(known))}",
                level=Level.WARNING,
            )


def _sane(settings: Settings, plant: Plant) -> Iterator[Finding]:
    """Limits and remedies that are allowed and will still surprise somebody."""
    for equipment in plant.equipment.values():
        if not equipment.rules:
            yield _warning("config", equipment.id, "no rule watches it, so nothing is ever proposed for it")
    seen: set[tuple[str, str]] = set()
    for equipment in plant.equipment.values():
        for name, tag in equipment.setpoints.items():
            if (equipment.type, name) in seen:
                continue  # set-points of one type share their limits
            seen.add((equipment.type, name))
            for problem in (*_limits_sane(settings, tag), *_remedies_fit(equipment, name, tag)):
                yield _warning("limits", f"types.{equipment.type}.setpoints.{name}", problem)


def _warning(area: str, subject: str, problem: str, advice: str = "") -> Finding:
    return Finding(area=area, subject=subject, problem=problem, advice=advice, level=Level.WARNING)


def _limits_sane(settings: Settings, tag: Tag) -> Iterator[str]:
    limits, link = tag.limits, settings.links.get(tag.link)
    if limits is None:
        return
    refresh_s = getattr(link, "refresh_s", 0.0)
    if limits.max_age_s < refresh_s:
        yield (
            f"max_age_s {limits.max_age_s:g} is below the link's refresh_s {refresh_s:g}: a set-point at rest is "
            "often older than allowed"
        )
    if limits.max_step is not None and limits.tolerance >= limits.max_step:
        yield f"tolerance {limits.tolerance:g} is not below max_step {limits.max_step:g}: no write would show"
    if limits.resolution > limits.high - limits.low:
        yield f"resolution {limits.resolution:g} is wider than the range: every proposal is rounded out of it"


def _remedies_fit(equipment: Equipment, name: str, tag: Tag) -> Iterator[str]:
    limits = tag.limits
    if limits is None or limits.max_step is None:
        return
    for remedy in equipment.remedies:
        for change in remedy.changes:
            if change.setpoint != name or change.change_percent is None:
                continue
            share = abs(change.change_percent) / 100
            largest = max(abs(limits.low), abs(limits.high)) * share
            if largest > limits.max_step * (1 + 1e-9):
                yield (
                    f"{remedy.issue_type} {remedy.severity}: a change of {change.change_percent:g} % exceeds max_step "
                    f"{limits.max_step:g} {tag.unit} from {limits.max_step / share:g} {tag.unit} on; such a proposal "
                    "carries no exact write"
                )


async def _check_store(settings: Settings, plant: Plant | None) -> Report:
    if on_warehouse(settings):
        return await check_warehouse(settings, plant)
    try:
        check_urls(settings)
        for role in (None, Role.AGENT, Role.OPERATOR):
            where(settings, role)
    except BridgeError as problem:
        return Report(
            findings=[Finding(area="database", subject="store", problem=str(problem))], looked_at=[]
        )
    findings = await _logins(settings)
    if findings:
        return Report(findings=findings, looked_at=[])
    looked_at = ["database: answers, and every login gets in"]
    try:
        async with opened(settings, None) as owner:
            schema = await schema_status(owner)
    except BridgeError as problem:
        return Report(
            findings=[Finding(area="schema", subject="database", problem=str(problem))], looked_at=looked_at
        )
    if not schema.current:
        waiting = (
            f"{len(schema.waiting)} migrations wait ({', '.join(schema.waiting)})" if schema.waiting else ""
        )
        edited = (
            f"changed after they ran, or unknown here: {', '.join(schema.edited)}" if schema.edited else ""
        )
        advice = (
            "run `ignition-bridge db migrate`"
            if not schema.edited
            else "migrations only go forward: add a new one"
        )
        problem_text = "; ".join(part for part in (waiting, edited) if part)
        return Report(
            findings=[Finding(area="schema", subject="database", problem=problem_text, advice=advice)],
            looked_at=looked_at,
        )
    looked_at.append(f"schema: current ({schema.applied[-1]})")
    findings, able = await _roles(settings)
    usable = not any(finding.level is Level.PROBLEM for finding in findings)
    if usable:
        looked_at.append(f"roles: {' and '.join(able)} {'are' if len(able) > 1 else 'is'} usable")
    if usable and plant is not None:
        async with opened(settings, Role.AGENT) as db:
            published = await Desk(db, queries.load()).published_limits()
        different = unpublished(published, plant.writable)
        findings += [
            Finding(
                area="limits", subject="tag_limits", problem=text, advice="run `ignition-bridge tags publish`"
            )
            for text in different
        ]
        if not different:
            looked_at.append(
                f"limits: the published allow-list is the configured one ({len(published)} tags)"
            )
    return Report(findings=findings, looked_at=looked_at)


async def _try(settings: Settings, login: Role | None, role: Role | None) -> BridgeError | None:
    """Connect once with one party's login, acting as `role`, and leave; the error when that does not work."""
    place = where(settings, login)
    try:
        connection = await connect(
            place,
            role=role,
            statement_timeout_s=settings.store.statement_timeout_s,
            connect_timeout_s=settings.store.connect_timeout_s,
            purpose="check",
            schema=schema_of(settings),
        )
        await connection.close()
    except BridgeError as problem:
        return problem
    finally:
        if not isinstance(place, str):
            place.close()
    return None


def _login(settings: Settings, role: Role | None) -> str:
    """What tells one party's login from another's."""
    place = "" if on_lakebase(settings, role) else where(settings, role)
    return place if isinstance(place, str) else ""


async def _logins(settings: Settings) -> list[Finding]:
    """Whether each different login gets in at all."""
    parties: dict[str, Role | None] = {}
    for role in (Role.AGENT, Role.OPERATOR, None):
        parties.setdefault(_login(settings, role), role)
    answers = await asyncio.gather(*(_try(settings, role, None) for role in parties.values()))
    return [
        Finding(
            area="database",
            subject=url_key(settings, role),
            problem=str(problem).splitlines()[0],
            advice=where_to_look(settings, role)
            if isinstance(problem, StoreDown)
            else "correct user, password and database name in it"
            if isinstance(problem, AccessDenied)
            else "",
            passing=isinstance(problem, StoreDown),
        )
        for role, problem in zip(parties.values(), answers, strict=True)
        if problem is not None
    ]


async def _roles(settings: Settings) -> tuple[list[Finding], list[Role]]:
    """Whether each login can take on its role, and the agent's no more than its own; the roles that work."""
    findings: list[Finding] = []
    able: list[Role] = []
    for role in (Role.AGENT, Role.OPERATOR):
        problem = await _try(settings, role, role)
        if problem is None:
            able.append(role)
            continue
        if role is Role.OPERATOR and on_lakebase(settings, role):
            # The agent's own identity, which should not be able to.
            findings.append(
                _warning(
                    "roles",
                    url_key(settings, role),
                    f"nobody can decide at this command line: {str(problem).splitlines()[0]}",
                    "if people are to decide here, not in Ignition alone, give store.operator_url a login of theirs",
                )
            )
            continue
        findings.append(
            Finding(
                area="roles",
                subject=url_key(settings, role),
                problem=str(problem),
                advice=f"as owner: grant {role} to the user of this URL"
                if not on_lakebase(settings, role)
                else "let an administrator run what `ignition-bridge db grants` prints",
            )
        )
    if await _try(settings, Role.AGENT, Role.OPERATOR) is None:
        findings.append(
            _warning(
                "roles",
                url_key(settings, Role.AGENT),
                "the agent's login may also act as bridge_operator, so only its own discipline keeps it from approving",
                "give the agent a login of its own that is a member of bridge_agent alone, and the operators theirs "
                "in store.operator_url",
            )
        )
    return findings, able


async def _check_links(settings: Settings, plant: Plant | None) -> Report:
    if plant is None:
        return Report(findings=[], looked_at=[])
    from bridge.wiring import links_of  # asyncua takes a second to import; only here it is needed

    try:
        links = links_of(settings, plant, SystemClock())
    except ConfigError as problem:
        findings = [Finding(area="tags", subject="bridge.toml", problem=line) for line in problem.problems]
        return Report(findings=findings, looked_at=[])
    answers = await asyncio.gather(*(link.check() for link in links.values()), return_exceptions=True)
    findings = []
    looked_at: list[str] = []
    for name, answer in zip(links, answers, strict=True):
        if isinstance(answer, BridgeError):
            endpoint = getattr(settings.links[name], "endpoint", "")
            findings.append(
                Finding(
                    area="links",
                    subject=f"links.{name}",
                    problem=str(answer),
                    advice=f"is the server at {endpoint} running, and is that its address?"
                    if not isinstance(answer, AccessDenied)
                    else "correct user, password or certificates of this link",
                )
            )
        elif isinstance(answer, BaseException):
            raise answer
        else:
            findings += [
                Finding(
                    area="tags" if text.startswith("tag ") else "links", subject=f"links.{name}", problem=text
                )
                for text in answer
            ]
            if not answer:
                tags = len(plant.on_link(name))
                looked_at.append(f"links.{name}: answers, and all {tags} tags are there with their types")
    return Report(findings=findings, looked_at=looked_at)


def _check_published(settings: Settings) -> Report:
    """The OPC UA server that shows the agent's tables, if there is to be one."""
    opcua = settings.publish.opcua
    if opcua is None:
        return Report(findings=[], looked_at=[])
    remarks = examine(
        opcua,
        agent_id=settings.agent.id,
        operator_url_given=bool(settings.store.operator_url.get_secret_value()),
    )
    findings = [
        Finding(
            area="publish",
            subject=remark.subject,
            problem=remark.problem,
            advice=remark.advice,
            level=Level.PROBLEM if remark.serious else Level.WARNING,
        )
        for remark in remarks
    ]
    if any(remark.serious for remark in remarks):
        return Report(findings=findings, looked_at=[])
    operators = sum(user.role == "operator" for user in opcua.users.values())
    viewers = len(opcua.users) - operators
    return Report(
        findings=findings,
        looked_at=[
            f"publish.opcua: {opcua.endpoint}, security {opcua.security}; "
            f"{operators} may decide, {viewers} may look{', and so may everybody' if opcua.anonymous else ''}"
        ],
    )


async def _check_edge(settings: Settings) -> Report:
    """The Sparkplug edge node that shows the agent's tables, if there is to be one."""
    edge = settings.publish.sparkplug
    if edge is None:
        return Report(findings=[], looked_at=[])
    from bridge.wiring import edge_problems  # as for the links

    subject = "publish.sparkplug"
    try:
        problems = await edge_problems(edge, SystemClock())
    except BridgeError as problem:
        advice = (
            "correct user, password or certificates"
            if isinstance(problem, AccessDenied)
            else f"is the broker at {edge.broker} running, and is that its address?"
        )
        return Report(
            findings=[Finding(area="publish", subject=subject, problem=str(problem), advice=advice)],
            looked_at=[],
        )
    if problems:
        return Report(findings=[_warning("publish", subject, problem) for problem in problems], looked_at=[])
    host = f"primary host {edge.primary_host} is online" if edge.primary_host else "no primary host"
    return Report(
        findings=[], looked_at=[f"{subject}: {edge.broker} lets {edge.group}/{edge.node} in; {host}"]
    )


def _lines(problem: Exception) -> list[str]:
    return str(problem).splitlines()
