"""`ignition-bridge`: the console script. Thin: it asks, calls and shows; rules live elsewhere."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from bridge import __version__, cli_db, cli_desk, cli_genie, cli_look, cli_project, cli_publish, log
from bridge.check import check as check_everything
from bridge.check import check_before_run
from bridge.report import Level, Report
from bridge.show import show_report
from bridge.terminal import Boundary, err, load_plant, out, print_json

app = typer.Typer(
    name="ignition-bridge",
    cls=Boundary,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it would show local variables, and with them passwords
    help="Carries operator-approved agent actions from Lakebase to Ignition tags, reads them back, audits every step.",
    epilog="Every setting of bridge.toml can also come from the environment: BRIDGE_STORE__URL, BRIDGE_AGENT__POLL_S …",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ignition-bridge {__version__}")
        raise typer.Exit


@app.callback()
def main(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", envvar="BRIDGE_CONFIG", help="The configuration; by itself bridge.toml."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and leave.")
    ] = False,
) -> None:
    """Keep what holds for every command."""
    ctx.obj = config


@app.command()
def check(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False
) -> None:
    """Look at configuration, database, roles, limits, links, tags and workspace, and tell every problem at once.

    Says, too, which promises the store in use does not keep by itself.

    Exit code 1 when there is a problem; warnings alone do not fail.
    """
    with log.silent():
        report = asyncio.run(check_everything(ctx.find_root().obj))
    if as_json:
        print_json(_report_json(report))
    else:
        show_report(out(), report)
    if report.problems:
        raise typer.Exit(1)


def _report_json(report: Report) -> dict[str, object]:
    return {
        "ok": not report.problems,
        "problems": len(report.problems),
        "warnings": len(report.findings) - len(report.problems),
        "findings": [
            {
                "level": finding.level.value,
                "area": finding.area,
                "subject": finding.subject,
                "problem": finding.problem,
                "advice": finding.advice,
            }
            for finding in report.findings
        ],
        "passed": report.looked_at,
        "promises": report.promises,
    }


@app.command()
def run(ctx: typer.Context) -> None:
    """Run the bridge in the foreground; logs go to stderr. Ctrl-C or SIGTERM ends it in good order.

    Does not start when configuration, database, schema or published limits have a problem. A plant that
    does not answer is no reason: the bridge waits for it. Nor is a database that does not answer where a
    bridge has run before: what is measured waits on disk.
    """
    settings, plant = load_plant(ctx)
    log.configure(settings.log)
    report = asyncio.run(check_before_run(settings, plant))
    from bridge.wiring import (
        has_run_before,
        run_bridge,
    )  # asyncua takes a second to import; only here it is needed

    may_wait = all(finding.passing for finding in report.problems) and has_run_before(settings)
    if report.problems and not may_wait:
        show_report(err(), report)
        raise typer.Exit(1)
    logger = structlog.get_logger("bridge.cli")
    for finding in report.findings:
        if finding.level is Level.WARNING or finding.passing:
            logger.warning("setup.questionable", subject=finding.subject, problem=finding.problem)

    def ready() -> None:
        logger.info("bridge.ready", agent_id=settings.agent.id, site=settings.agent.site, version=__version__)

    loop_factory = None
    if sys.platform != "win32":
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run_bridge(settings, ready=ready))


app.command()(cli_look.status)
app.command()(cli_look.explain)
app.add_typer(cli_desk.recommendations, name="recommendations")
app.command()(cli_look.readings)
app.add_typer(cli_desk.control, name="control")
app.add_typer(cli_desk.commands, name="commands")
cli_db.tags.command("import")(cli_project.import_tags)
cli_db.tags.command("export")(cli_project.export_tags)
app.add_typer(cli_db.tags, name="tags")
app.add_typer(cli_project.project, name="project")
app.add_typer(cli_publish.publish, name="publish")
app.add_typer(cli_db.db, name="db")
app.add_typer(cli_genie.genie, name="genie")


if __name__ == "__main__":
    app()
