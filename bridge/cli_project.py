"""`ignition-bridge project …` and `tags import|export`: what is carried to and from an Ignition gateway."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.errors import ConfigError, FixConfiguration, ProjectBroken
from bridge.ignition import build as building
from bridge.ignition import tag_map
from bridge.ignition.build import Target
from bridge.ignition.check import ProjectReport, check_project
from bridge.ignition.finding import Finding
from bridge.ignition.named_queries import left_out
from bridge.ignition.resources import TAGS_FILE, ProjectFiles, read
from bridge.ignition.tag_tree import read_tag_file, resolve
from bridge.storage import on_warehouse
from bridge.store import queries
from bridge.terminal import err, load_plant, load_settings, out, print_json

project = typer.Typer(
    no_args_is_help=True, help="The Ignition project: build what is imported, check it, push it to a gateway."
)

AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]
Folder = Annotated[
    Path | None,
    typer.Option("--project", metavar="FOLDER", help="The project's folder; by itself ignition_project."),
]
TagFile = Annotated[
    Path | None,
    typer.Option("--tags", metavar="FILE", help="The tag file; by itself tags/tags.json of a folder."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
Provider = Annotated[str, typer.Option("--provider", help="The tag provider, without brackets.")]

_SHOWN = 30  # doubts of a tag import; a broken export has one a tag


@project.command()
def build(
    ctx: typer.Context,
    target: Annotated[Target, typer.Option("--target", help="The version of the gateway.")] = Target.V83,
    to: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The zip; by itself build/<folder>-<target>.zip."),
    ] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Renew the named queries from their source, and make the zip that a gateway imports.

    The same source gives the same bytes. A project with problems is not built; scripts are compiled by
    `project check`, not here.
    """
    if folder is None:
        _refuse_on_warehouse(ctx)
    place = folder or building.project_folder()
    named = list(queries.load())
    changed = building.regenerate(place, named)
    found = read(place)
    report = _look(found, None, stale=[], for_81=target is Target.V81, compile_scripts=False)
    if report.findings:
        raise ProjectBroken([str(finding) for finding in report.findings])
    package = building.package(found, target)
    archive = building.to_zip(package.files)
    file = to or Path("build", f"{place.resolve().name}-{target}.zip")
    building.write_whole(file, archive)
    if as_json:
        print_json(
            {
                "zip": str(file),
                "target": target.value,
                "files": len(package.files),
                "bytes": len(archive),
                "renewed": changed,
                "left_out": package.left_out,
                "by_hand": package.by_hand,
            }
        )
        return
    console = out()
    if changed:
        console.print(f"renewed {len(changed)} files in {place / 'ignition/named-query'}", soft_wrap=True)
    console.print(
        f"{file}: {len(package.files)} files, {len(archive)} bytes, for Ignition {target}",
        style="green",
        soft_wrap=True,
    )
    if package.by_hand:
        console.print("By hand, because this version keeps it in a file that cannot be shipped:")
        for step in package.by_hand:
            console.print(f"  {step}", soft_wrap=True)
    console.print(f"tags are imported on their own: {place / TAGS_FILE}; docs/ignition.md has every step")


@project.command()
def check(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="A project folder or zip; by itself our own.")
    ] = None,
    tags: TagFile = None,
    target: Annotated[Target, typer.Option("--target", help="The version of the gateway.")] = Target.V83,
    as_json: AsJson = False,
) -> None:
    """Prove what can be proven without a gateway: resources, references, parameters, scripts under Jython 2.7.

    Exit code 1 when there is a finding; a note, such as what the preview does not draw, is none.
    """
    own = path is None
    place = path or building.project_folder()
    found = read(place)
    stale = building.stale(found.files, queries.load()) if own else []
    report = _look(found, tags, stale=stale, for_81=target is Target.V81, compile_scripts=True)
    if as_json:
        print_json(_report_json(place, report))
    else:
        _show_report(place, report)
    if report.findings:
        raise typer.Exit(1)


@project.command()
def deploy(
    ctx: typer.Context,
    gateway: Annotated[
        str, typer.Option("--gateway", metavar="URL", help="https://host:8043, Ignition 8.3.")
    ],
    name: Annotated[
        str, typer.Option("--name", help="The project's name on the gateway.")
    ] = "ignition-bridge",
    folder: Folder = None,
    provider: Provider = "default",
    tags: Annotated[
        bool, typer.Option("--tags/--no-tags", help="Import the tags too, before the project.")
    ] = True,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="The authority of its certificate.")
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=1, help="Longest wait for one answer.")
    ] = 60.0,
    allow_http: Annotated[bool, typer.Option("--allow-http", help="Send the token in the clear.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push project and tags to an 8.3 gateway, and read the project back.

    The token comes from BRIDGE_IGNITION_TOKEN. Tags are imported over what is there: values of memory tags
    start again. A project with problems is not sent.
    """
    from bridge.ignition.deploy import TOKEN_VARIABLE, Gateway

    if folder is None:
        _refuse_on_warehouse(ctx)
    place = folder or building.project_folder()
    found = read(place)
    own = folder is None
    stale = building.stale(found.files, queries.load()) if own else []
    report = _look(found, None, stale=stale, for_81=False, compile_scripts=False)
    if report.findings:
        raise ProjectBroken([str(finding) for finding in report.findings])
    package = building.package(found, Target.V83)
    given = found.files.get(TAGS_FILE) if tags else None
    if tags and given is None:
        raise ConfigError([f"{place / TAGS_FILE}: no such file; give --no-tags to push the project alone"])
    there = Gateway(
        gateway,
        os.environ.get(TOKEN_VARIABLE, ""),
        timeout_s=timeout_s,
        ca_file=ca,
        allow_http=allow_http,
    )
    done = there.deploy(name, building.to_zip(package.files), package.files, given, provider)
    if as_json:
        print_json(
            {
                "project": done.project,
                "files_read_back": done.project_files,
                "tags_imported": done.tags_imported,
            }
        )
        return
    console = out()
    if done.tags_imported is not None:
        console.print(f"the gateway imported {done.tags_imported} tags into [{provider}]", style="green")
    console.print(
        f"the gateway holds project {done.project!r}: {done.project_files} files read back, all as sent",
        style="green",
    )
    console.print(
        "once, by hand: identity provider, roles, database connection; docs/ignition.md has every step"
    )


def import_tags(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A tag export of Ignition, as JSON.")],
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write; by itself to the terminal.")
    ] = None,
    force: Force = False,
    provider: Provider = "default",
    under: Annotated[
        str, typer.Option("--under", metavar="FOLDER", help="Only tags below this folder.")
    ] = "",
    link: Annotated[
        list[str] | None,
        typer.Option(
            "--link", metavar="'SERVER=LINK'", help="Name of the link for one of Ignition's OPC connections."
        ),
    ] = None,
    via: Annotated[
        str,
        typer.Option("--via", metavar="device|gateway", help="Reach tags at their device or at the gateway."),
    ] = "device",
    writable: Annotated[
        list[str] | None,
        typer.Option(
            "--writable",
            metavar="PATTERN",
            help="Take proposed limits as they are for these members: '*Setpoint'.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the tag map of bridge.toml from an Ignition tag export.

    Nothing becomes writable by itself: engineering limits are proposed in comments, for a person to
    confirm. What cannot be mapped is listed with its reason.
    """
    if via not in ("device", "gateway"):
        raise ConfigError([f"--via: wanted device or gateway, found {via!r}"])
    if to is not None:
        _refuse_existing(to, force)
    tree = resolve(read_tag_file(file), file=file.name, provider=provider)
    wishes = tag_map.ImportWishes(
        provider=provider,
        links=_pairs("--link", link or []),
        via_gateway=via == "gateway",
        under=under,
        writable=tuple(writable or ()),
    )
    made = tag_map.build_map(tree, wishes, source=file.name)
    if not made.equipment:
        raise ConfigError(
            [f"{file}: no tag of it can be mapped", *(str(finding) for finding in made.findings[:_SHOWN])]
        )
    if to is not None:
        building.write_whole(to, made.toml.encode())
    if as_json:
        print_json(
            {
                "equipment": made.equipment,
                "tags": made.tags,
                "proposed_writable": made.proposed,
                "writable": made.writable,
                "findings": [_finding_json(finding) for finding in made.findings],
                **({"file": str(to)} if to is not None else {"toml": made.toml}),
            }
        )
        return
    if to is None:
        typer.echo(made.toml, nl=False)
    console = err()
    for finding in made.findings[:_SHOWN]:
        console.print(str(finding), style="yellow", soft_wrap=True)
    if len(made.findings) > _SHOWN:
        console.print(f"… and {len(made.findings) - _SHOWN} more; --json lists all of them", style="yellow")
    console.print(
        f"{made.equipment} pieces of equipment, {made.tags} tags, {made.writable} writable, "
        f"{made.proposed - made.writable} proposed in comments, {len(made.findings)} doubts",
        soft_wrap=True,
    )


def export_tags(
    ctx: typer.Context,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write; by itself to the terminal.")
    ] = None,
    force: Force = False,
    provider: Provider = "default",
    opc_server: Annotated[
        list[str] | None,
        typer.Option(
            "--opc-server", metavar="'LINK=SERVER'", help="Ignition's OPC connection for one of our links."
        ),
    ] = None,
) -> None:
    """Make a tag file for Ignition from bridge.toml: one UDT a type, one instance an equipment."""
    settings, plant = load_plant(ctx)
    if to is not None:
        _refuse_existing(to, force)
    document = tag_map.export_tags(
        settings, plant, provider=provider, opc_servers=_pairs("--opc-server", opc_server or [])
    )
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    if to is None:
        typer.echo(text, nl=False)
        return
    building.write_whole(to, text.encode())
    err().print(f"{to}: {len(plant.equipment)} instances, {len(plant.tags)} tags, for provider {provider}")


def _refuse_on_warehouse(ctx: typer.Context) -> None:
    """FixConfiguration where the agent's tables are out of a gateway's reach. Nothing else of it is looked at here."""
    try:
        settings = load_settings(ctx)
    except ConfigError:
        return  # the project is made without any configuration
    if on_warehouse(settings):
        raise FixConfiguration(
            "our project reads and decides by PostgreSQL, and store.kind is warehouse: no gateway can show or execute "
            "anything from these tables. Decide at the command line (`recommendations approve`), or keep the tables in "
            "Lakebase. Another project of yours is built with --project"
        )


def _look(
    found: ProjectFiles,
    tags: Path | None,
    *,
    stale: list[str],
    for_81: bool,
    compile_scripts: bool,
) -> ProjectReport:
    """Check a project with the tag file that was named, or the one in its folder."""
    content, name = found.files.get(TAGS_FILE) if not found.zipped else None, TAGS_FILE
    if tags is not None:
        try:
            content, name = tags.read_bytes(), tags.name
        except OSError as problem:
            raise ConfigError([f"--tags: {tags}: cannot be read: {problem.strerror}"]) from problem
    return check_project(
        found,
        tags=content,
        tags_file=name,
        stale=stale,
        left_out=left_out(queries.load()),
        for_81=for_81,
        compile_scripts=compile_scripts,
    )


def _show_report(place: Path, report: ProjectReport) -> None:
    console = out()
    for line in report.looked_at:
        console.print(f"✓ {line}", style="green", soft_wrap=True)
    for line in report.not_checked:
        console.print(f"– {line}", style="yellow", soft_wrap=True)
    for note in report.notes:
        where = f"{note.file}: {note.place}" if note.place else note.file
        console.print(f"– {where}", style="yellow", soft_wrap=True)
        console.print(f"    {note.what}", soft_wrap=True)
        console.print(f"    → {note.mend}", soft_wrap=True)
    if not report.findings:
        console.print(f"{place}: nothing found that a gateway would trip over", style="green", soft_wrap=True)
        return
    for finding in report.findings:  # no table: a path that is cut cannot be opened
        where = f"{finding.file}: {finding.place}" if finding.place else finding.file
        console.print(f"✗ {where}", style="red", soft_wrap=True)
        console.print(f"    {finding.what}", soft_wrap=True)
        console.print(f"    → {finding.mend}", soft_wrap=True)
    count = len(report.findings)
    console.print(f"{place}: {count} finding{'s' if count > 1 else ''}", style="red", soft_wrap=True)


def _report_json(place: Path, report: ProjectReport) -> dict[str, Any]:
    return {
        "ok": not report.findings,
        "project": str(place),
        "findings": [_finding_json(finding) for finding in report.findings],
        "notes": [_finding_json(note) for note in report.notes],
        "passed": report.looked_at,
        "not_checked": report.not_checked,
    }


def _finding_json(finding: Finding) -> dict[str, str]:
    return {"file": finding.file, "place": finding.place, "what": finding.what, "mend": finding.mend}


def _pairs(option: str, given: list[str]) -> dict[str, str]:
    pairs = [item.partition("=")[::2] for item in given]
    wrong = [
        item
        for item, (left, right) in zip(given, pairs, strict=True)
        if not left.strip() or not right.strip()
    ]
    if wrong:
        raise ConfigError([f"{option}: wanted NAME=NAME, found {item!r}" for item in wrong])
    return {left.strip(): right.strip() for left, right in pairs}


def _refuse_existing(file: Path, force: bool) -> None:
    if file.exists() and not force:
        raise ConfigError([f"{file}: exists already; give --force to replace it"])
