"""What a warehouse says when it does not do what was asked: a condition, a sentence, and an SQLSTATE in the text."""

from __future__ import annotations

from typing import Final

NOT_IN_THE_STAND_IN: Final = "0A000"


class Refused(Exception):
    """A statement that failed, in the form clients see: ``[CONDITION] sentence SQLSTATE: xxxxx``.

    The connector gives no SQLSTATE of its own, so clients read it from the text.
    """

    def __init__(self, condition: str, sqlstate: str, text: str, *, place: str = "") -> None:
        self.condition = condition
        self.sqlstate = sqlstate
        self.message = f"[{condition}] {text} SQLSTATE: {sqlstate}{place}"
        super().__init__(self.message)


class Cancelled(Exception):
    """The statement was cancelled, or its session or operation was closed, while it ran."""


def syntax_error(word: str, *, sql: str = "", line: int = 0, position: int = 0) -> Refused:
    """The parser does not go on at ``word``; line counts from 1, position from 0 within it."""
    place = ""
    if line:
        marked = sql.splitlines()[line - 1] if sql else ""
        place = f" (line {line}, pos {position})\n\n== SQL ==\n{marked}\n{'-' * position}^^^"
    near = f"'{word}'" if word else "end of input"
    return Refused("PARSE_SYNTAX_ERROR", "42601", f"Syntax error at or near {near}.", place=place)


def no_such_table(name: str) -> Refused:
    """``name`` is shown as the statement wrote it."""
    return Refused(
        "TABLE_OR_VIEW_NOT_FOUND",
        "42P01",
        f"The table or view {name} cannot be found. Verify the spelling and correctness of the schema and catalog.",
    )


def no_such_column(name: str, known: tuple[str, ...] = ()) -> Refused:
    """``known`` are the columns that exist where it was looked for; empty when that is not known."""
    text = f"A column, variable, or function parameter with name {quoted(name)} cannot be resolved."
    if not known:
        return Refused("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703", text)
    suggestion = ", ".join(quoted(one) for one in known)
    return Refused(
        "UNRESOLVED_COLUMN.WITH_SUGGESTION",
        "42703",
        f"{text} Did you mean one of the following? [{suggestion}].",
    )


def no_such_routine(name: str) -> Refused:
    """A function that Databricks SQL does not have."""
    return Refused(
        "UNRESOLVED_ROUTINE",
        "42883",
        f"Cannot resolve routine {quoted(name)} on search path [`system`.`builtin`, `system`.`session`].",
    )


def not_simulated(what: str) -> Refused:
    """Databricks may well run it; this stand-in does not, and says so rather than guess."""
    return Refused(
        "UNSUPPORTED_FEATURE.SIMULATOR",
        NOT_IN_THE_STAND_IN,
        f"The simulated warehouse does not run {what}; write it another way, or teach it to the simulator.",
    )


def quoted(name: str) -> str:
    """In backticks, part by part, as error texts show names."""
    return ".".join(f"`{part}`" for part in name.split("."))
