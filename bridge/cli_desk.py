"""`ignition-bridge recommendations …`, `control …` and `commands …`: what operators decide, under their own name."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, NoReturn

import typer

from bridge import show
from bridge.access import at_desk, at_tables
from bridge.domain.lifecycle import Role
from bridge.domain.limits import Refusal, RefusalCode
from bridge.errors import RefusedByRule
from bridge.settings import Settings
from bridge.store.connection import Row
from bridge.store.desk import Control
from bridge.story import exact
from bridge.terminal import decoded, err, load_settings, out, print_json

recommendations = typer.Typer(
    no_args_is_help=True, help="What the agent proposes: list, show, approve, reject, defer."
)
control = typer.Typer(no_args_is_help=True, help="The arming switch for all writes.")
commands = typer.Typer(no_args_is_help=True, help="Single writes whose outcome nobody knows.")

AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]
RecommendationId = Annotated[str, typer.Argument(metavar="ID", help="For example R-12.")]
Operator = Annotated[
    str | None,
    typer.Option(metavar="NAME", envvar="BRIDGE_OPERATOR", help="Who you are; asked for when not given."),
]


@recommendations.command("list")
def list_open(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show what is open, most severe first."""
    settings = load_settings(ctx)

    async def work() -> list[Row]:
        async with at_desk(settings) as desk:
            return await desk.open_recommendations()

    rows = asyncio.run(work())
    if as_json:
        print_json({"recommendations": [decoded(row) for row in rows]})
    else:
        show.show_recommendations(out(), rows)


@recommendations.command("show")
def show_one(ctx: typer.Context, recommendation_id: RecommendationId, as_json: AsJson = False) -> None:
    """Show one recommendation with its exact writes and their digest."""
    row = asyncio.run(_look(load_settings(ctx), recommendation_id))
    if as_json:
        print_json(decoded(row))
    else:
        show.show_recommendation(out(), row)


@recommendations.command()
def approve(
    ctx: typer.Context,
    recommendation_id: RecommendationId,
    operator: Operator = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="Kept with the approval.")] = None,
    digest: Annotated[
        str | None,
        typer.Option(
            metavar="HEX", help="Approve only if the writes still have this digest (from `show --json`)."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Approve exactly the writes that are shown; the bridge then writes them and reads them back."""
    settings = load_settings(ctx)
    row = asyncio.run(_look(settings, recommendation_id))
    show.show_recommendation(out(), row)
    if digest is not None and digest != row["write_digest"]:
        _refuse(
            RefusalCode.DIGEST_MISMATCH,
            f"{recommendation_id} has other writes than those with digest {digest[:12]}; look at them again",
        )
    if row["status"] != "pending":
        who = row["approved_by_operator"] or row["decided_by_operator"]
        _refuse(
            RefusalCode.ALREADY_DECIDED,
            f"{recommendation_id} is already {row['status']}{f' by {who}' if who else ''}",
        )
    name = _who(operator)
    if not yes and not _confirmed(f"Approve these writes as {name}?"):
        err().print("nothing was approved")
        raise typer.Exit(1)

    async def work() -> tuple[str, Control, bool]:
        async with at_desk(settings) as desk:
            status = await desk.approve(
                recommendation_id, operator=name, digest=row["write_digest"], comment=comment
            )
            agents = await desk.agents(offline_after_s=3 * settings.agent.heartbeat_s)
            return status, await desk.control(), any(agent["status"] == "online" for agent in agents)

    status, switch, online = asyncio.run(work())
    console = out()
    if status == "pending":
        console.print(f"your approval of {recommendation_id} counts; another person has to approve it too")
        return
    console.print(f"{recommendation_id} is {status} by {name}", style="green")
    if not switch.armed:
        console.print(
            "the bridge is DISARMED: nothing is written until somebody arms it", style="bold yellow"
        )
    elif not online:
        console.print(
            f"no agent is online: the approval lapses after {settings.agent.approval_valid_s:g} s",
            style="bold yellow",
        )
    console.print(f"`ignition-bridge explain {recommendation_id}` tells what becomes of it")


@recommendations.command()
def reject(
    ctx: typer.Context,
    recommendation_id: RecommendationId,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; the agent and the next shift read it.")
    ] = "",
    operator: Operator = None,
) -> None:
    """Reject a recommendation, with a reason."""
    settings = load_settings(ctx)
    if not reason.strip():
        _refuse(RefusalCode.REASON_REQUIRED, "a rejection says why; give --reason TEXT")
    name = _who(operator)

    async def work() -> str:
        async with at_desk(settings) as desk:
            return await desk.reject(recommendation_id, operator=name, reason=reason)

    out().print(f"{recommendation_id} is {asyncio.run(work())} by {name}: {reason}")


@recommendations.command()
def defer(
    ctx: typer.Context,
    recommendation_id: RecommendationId,
    minutes: Annotated[float, typer.Option(help="For how long; at most 24 hours.")],
    operator: Operator = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="Kept with the recommendation.")] = None,
) -> None:
    """Put a recommendation off; it comes back by itself, or earlier when its condition worsens."""
    settings = load_settings(ctx)
    if not 0 < minutes <= 24 * 60:
        _refuse(RefusalCode.TIME_REQUIRED, f"--minutes wants more than 0 and at most 1440, found {minutes:g}")
    name = _who(operator)

    async def work() -> str:
        async with at_desk(settings) as desk:
            return await desk.defer(recommendation_id, operator=name, minutes=minutes, comment=comment)

    out().print(f"{recommendation_id} is {asyncio.run(work())} for {minutes:g} min by {name}")


@control.command("show")
def show_switch(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Say whether approved writes go out, who said so and why."""
    settings = load_settings(ctx)

    async def work() -> Control:
        async with at_desk(settings) as desk:
            return await desk.control()

    state = asyncio.run(work())
    if as_json:
        print_json(
            {
                "armed": state.armed,
                "changed_by": state.changed_by,
                "reason": state.reason,
                "changed_timestamp": state.changed_utc,
            }
        )
    else:
        show.show_control(out(), state)


Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands in the audit trail.")]


@control.command()
def arm(ctx: typer.Context, reason: Reason = "", operator: Operator = None) -> None:
    """Let approved writes go to the plant again."""
    _switch(ctx, True, reason, operator)


@control.command()
def disarm(ctx: typer.Context, reason: Reason = "", operator: Operator = None) -> None:
    """Let no write go to the plant, whatever is approved."""
    _switch(ctx, False, reason, operator)


def _switch(ctx: typer.Context, armed: bool, reason: str, operator: str | None) -> None:
    settings = load_settings(ctx)
    word = "armed" if armed else "disarmed"
    if not reason.strip():
        _refuse(RefusalCode.REASON_REQUIRED, "arming and disarming each say why; give --reason TEXT")
    name = _who(operator)

    async def work() -> tuple[bool, Control]:
        async with at_desk(settings) as desk:
            return await desk.set_armed(armed, operator=name, reason=reason), await desk.control()

    changed, state = asyncio.run(work())
    console = out()
    console.print(
        f"the bridge is {word} now" if changed else f"the bridge was {word} already; nothing changed"
    )
    show.show_control(console, state)


@commands.command()
def settle(
    ctx: typer.Context,
    command_id: Annotated[str, typer.Argument(metavar="ID", help="A command whose outcome is unknown, C-….")],
    shows: Annotated[
        float | None, typer.Option(metavar="VALUE", help="What the panel shows now; true is 1, false is 0.")
    ] = None,
    not_applied: Annotated[
        bool, typer.Option("--not-applied", help="The plant did not take the value.")
    ] = False,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="How you know; needed with --not-applied.")
    ] = "",
    operator: Operator = None,
) -> None:
    """End an unknown outcome by what a person sees, signed with their name; the tag is free again afterwards."""
    settings = load_settings(ctx)
    if (shows is None) != not_applied:
        _refuse(RefusalCode.WRONG_FORM, "say either --shows VALUE or --not-applied")
    if not_applied and not reason.strip():
        _refuse(RefusalCode.REASON_REQUIRED, "give --reason TEXT: how do you know that it was not applied?")
    name = _who(operator)
    out().print(asyncio.run(_settle(settings, command_id, shows, reason, name)), soft_wrap=True)


async def _settle(settings: Settings, command_id: str, shows: float | None, reason: str, name: str) -> str:
    async with at_tables(settings, Role.OPERATOR) as there:
        rows = await there.db.fetch(there.named.commands.get_command, command_id=command_id)
        if not rows:
            _refuse(RefusalCode.WRONG_FORM, f"there is no command {command_id}")
        command = rows[0]
        if command["status"] != "unknown":
            _refuse(
                RefusalCode.ALREADY_DECIDED,
                f"{command_id} is {command['status']}; only an unknown outcome is settled",
            )
        tolerance = next(
            (
                row["tolerance"]
                for row in await there.desk.published_limits()
                if row["tag_path"] == command["tag_path"]
            ),
            0.0,
        )
        taken = shows is not None and abs(shows - command["new_value"]) <= tolerance
        because = f": {reason}" if reason.strip() else ""
        seen = f"shows {exact(shows)} {command['unit']}".rstrip() if shows is not None else "was not applied"
        code = (
            None
            if taken
            else (RefusalCode.READ_BACK_DIFFERS if shows is not None else RefusalCode.NOT_CONFIRMED)
        )
        result = f"settled by {name}, who says that {command['tag_path']} {seen}{because}"
        done = await there.desk.settle_by_hand(
            command_id,
            operator=name,
            status="executed" if taken else "failed",
            result=result if code is None else f"{code}: {result}",
            code=None if code is None else code.value,
            read_back=shows,
        )
        if not done:
            _refuse(RefusalCode.ALREADY_DECIDED, f"{command_id} was settled by somebody else this moment")
    return f"{command_id} is {'executed' if taken else 'failed'} now: {result}"


async def _look(settings: Settings, recommendation_id: str) -> Row:
    async with at_desk(settings) as desk:
        return await desk.recommendation(recommendation_id)


def _who(given: str | None) -> str:
    """The person's name: given, or asked for. Never guessed from the login of the machine."""
    name = given
    if name is None:
        try:
            name = typer.prompt("Who are you (your operator name)", err=True)
        except typer.Abort:
            name = ""
            sys.stderr.write("\n")
    if not name.strip():
        _refuse(RefusalCode.NAME_REQUIRED, "say who you are: --operator NAME, or BRIDGE_OPERATOR")
    return name.strip()


def _confirmed(question: str) -> bool:
    """A yes from the person; no answer is a no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        sys.stderr.write("\n")
        return False


def _refuse(code: RefusalCode, reason: str) -> NoReturn:
    raise RefusedByRule(Refusal(code, reason))
