"""A Genie space as an advisor: a question with the case in it, and of the answer words, evidence and names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice

from bridge.databricks.advisor_question import in_words, rows_in_words
from bridge.databricks.genie import Genie
from bridge.databricks.genie_answer import GenieAnswer
from bridge.databricks.steps import Server, run_async
from bridge.domain.advice import (
    Advice,
    AdviceSource,
    Case,
    Provenance,
    candidates_in,
    validated,
)
from bridge.errors import AnswerUnusable
from bridge.ports import Clock

_ROWS_LOOKED_AT = 50
_LONGEST_TEXT = 20_000  # characters of a text that are looked at
_REMEDY_LINE = re.compile(r"^[^\w\n]*remedy[^\w\n]*:[^\n]*$", re.IGNORECASE | re.MULTILINE)


class GenieAdvisor:
    """Implements `bridge.ports_advice.Advisor` over one space."""

    def __init__(
        self, genie: Genie, server: Server, clock: Clock, *, space_id: str, space_name: str = ""
    ) -> None:
        self._genie = genie
        self._server = server
        self._clock = clock
        self._space_id = space_id
        self._space_name = space_name or space_id

    @property
    def name(self) -> str:
        """See `Advisor.name`."""
        return f"Genie space {self._space_name}"

    async def advise(self, case: Case, *, deadline_s: float) -> Advice:
        """See `Advisor.advise`. A turn to ask that comes too late is RateLimited, and nothing was asked."""
        asking = self._genie.ask(
            self._space_id,
            in_words(case),
            patience_s=deadline_s / 2,  # the other half is for the answer
            fresh=True,
        )
        answer = await run_async(asking, self._server, self._clock, deadline_s=deadline_s)
        return advice_of(case, answer, space_name=self._space_name)


def advice_of(case: Case, answer: GenieAnswer, *, space_name: str = "") -> Advice:
    """What an answer of Genie's is as advice: its first paragraph is the cause, names select, the rest is shown.

    AnswerUnusable when Genie asks back instead of answering, or says nothing at all.
    """
    text = answer.text[:_LONGEST_TEXT].strip()
    if answer.asks_back and not text and not answer.rows:
        raise AnswerUnusable(
            f"Genie asks back instead of answering: {answer.asks_back[:200]!r}; the space's instructions may mend that"
        )
    rows = tuple(_row(answer, row) for row in islice(answer.rows, _ROWS_LOOKED_AT))
    words = text or answer.description[:_LONGEST_TEXT]
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", _REMEDY_LINE.sub("", words)) if part.strip()]
    shown = rows_in_words(rows, answer.total_rows)
    if not paragraphs and not shown:
        raise AnswerUnusable("Genie's answer has neither words nor rows")
    ids = answer.provenance
    return validated(
        Advice(
            root_cause=paragraphs[0] if paragraphs else "",
            explanation="\n\n".join(part for part in (*paragraphs[1:], shown) if part),
            candidates=candidates_in(text, rows),
            confidence=None,
            provenance=Provenance(
                source=AdviceSource.GENIE,
                space=space_name or ids.space_id,
                conversation_id=ids.conversation_id,
                message_id=ids.message_id,
                sql=answer.sql,
                rows=(answer.total_rows if answer.total_rows is not None else len(answer.rows))
                if answer.sql
                else None,
            ),
        ),
        case,
    )


def _row(answer: GenieAnswer, row: tuple[object, ...]) -> Mapping[str, object]:
    """A row by its column names; a column is called remedy in whatever case, its values count exactly."""
    names = (
        "remedy" if column.name.strip().lower() == "remedy" else column.name for column in answer.columns
    )
    return dict(zip(names, row, strict=False))
