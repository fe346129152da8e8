"""`ignition-bridge genie …`: asking a Genie space by hand, with what its answer is made of.

What comes from the workspace is fit to be shown: control characters were taken out where it was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from bridge import show
from bridge.clock import SystemClock
from bridge.terminal import err, load_settings, out, print_json

if TYPE_CHECKING:
    from bridge.databricks.genie_answer import GenieAnswer
    from bridge.databricks.steps import Progress

genie = typer.Typer(no_args_is_help=True, help="Genie spaces of the Databricks workspace.")

_SHOWN_ROWS = 50  # on a terminal; --json has all that came


@genie.command()
def ask(
    ctx: typer.Context,
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A name of [genie.spaces], or a space's id.")],
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="In ordinary words, as one argument: quote it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Ask a Genie space and show its answer, the SQL that it ran and the rows. Progress goes to stderr.

    What Genie says is shown and never acted upon.
    """
    settings = load_settings(ctx)
    from bridge.databricks.asking import Asking  # requests takes its time to import, and only this needs it

    console = err()

    def tell(step: Progress) -> None:
        console.print(f"{step.status.lower()}: {step.detail}".rstrip(": "), style="dim", soft_wrap=True)

    asking = Asking(settings, SystemClock())
    try:
        found = asking.ask(space, question, on_progress=tell)
    finally:
        asking.close()
    if as_json:
        print_json(_json(found))
    else:
        _show(out(), found)


def _show(console: Console, found: GenieAnswer) -> None:
    for text in (found.text, found.asks_back):
        if text:
            console.print(text, soft_wrap=True)
    if not (found.text or found.asks_back or found.sql):
        console.print("Genie answered without words and without a query")
    if found.sql:
        title = found.title or found.description or "query"
        console.print(f"\nSQL, {title}:", style="bold")
        console.print(found.sql.strip(), soft_wrap=True)
        for parameter in found.parameters:
            console.print(f"  :{parameter.name} = {parameter.value} ({parameter.type_name})", soft_wrap=True)
        console.print()
        _show_rows(console, found)
    if found.ran_again:
        console.print("the first result had expired: these rows are younger than the words", style="yellow")
    if found.unread:
        console.print(
            f"there were attachments that this version does not know: {', '.join(found.unread)}",
            style="yellow",
        )
    for suggested in found.suggested_questions:
        console.print(f"ask on: {suggested}", style="dim", soft_wrap=True)
    console.print(str(found.provenance), style="dim", soft_wrap=True)


def _show_rows(console: Console, found: GenieAnswer) -> None:
    rows = found.rows[:_SHOWN_ROWS]
    if found.columns:
        table = Table(*(column.name for column in found.columns), box=show.BOX)
        for row in rows:
            table.add_row(*(_cell(cell) for cell in row))
        console.print(table)
    of = f" of {found.total_rows}" if found.total_rows is not None and found.total_rows > len(rows) else ""
    more = ", and there are more" if found.truncated and not of else ""
    console.print(f"{len(rows) or 'no'}{of} row{'' if len(rows) == 1 and not of else 's'}{more}")


def _cell(cell: object) -> str:
    return "" if cell is None else str(cell)


def _json(found: GenieAnswer) -> dict[str, object]:
    ids = found.provenance
    return {
        "question": found.question,
        "text": found.text,
        "asks_back": found.asks_back or None,
        "sql": found.sql or None,
        "title": found.title,
        "description": found.description,
        "parameters": [
            {"name": parameter.name, "type": parameter.type_name, "value": parameter.value}
            for parameter in found.parameters
        ],
        "columns": [{"name": column.name, "type": column.type_name} for column in found.columns],
        "rows": [_plain(row) for row in found.rows],
        "total_rows": found.total_rows,
        "truncated": found.truncated,
        "ran_again": found.ran_again,
        "suggested_questions": list(found.suggested_questions),
        "provenance": {
            "space_id": ids.space_id,
            "conversation_id": ids.conversation_id,
            "message_id": ids.message_id,
            "attachment_id": ids.attachment_id,
            "statement_id": ids.statement_id,
        },
    }


def _plain(row: Sequence[object]) -> list[object]:
    """Cells as JSON has them: exact decimals, days, and numbers that are none, as text."""
    return [
        str(cell)
        if isinstance(cell, Decimal)
        or (isinstance(cell, date) and not isinstance(cell, datetime))
        or (isinstance(cell, float) and not isfinite(cell))
        else cell
        for cell in row
    ]
