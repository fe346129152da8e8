"""A Genie message as the workspace writes it, and the answer that is made of it. Pure.

What Genie says is data: it is stored and shown, never obeyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.databricks.answers import plain
from bridge.databricks.fields import Fields
from bridge.databricks.statement_result import Cell, Column, Table
from bridge.errors import AnswerTooLarge

MOST_CHARACTERS = 1_000_000
_ASKS_BACK = "FOLLOW_UP_QUESTION"  # with or without TEXT_ATTACHMENT_PURPOSE_ before it, as the answers have


class MessageStatus(StrEnum):
    """How far Genie is with a question."""

    SUBMITTED = "SUBMITTED"
    FETCHING_METADATA = "FETCHING_METADATA"
    FILTERING_CONTEXT = "FILTERING_CONTEXT"
    ASKING_AI = "ASKING_AI"
    PENDING_WAREHOUSE = "PENDING_WAREHOUSE"
    EXECUTING_QUERY = "EXECUTING_QUERY"  # may go back to ASKING_AI: Genie corrects itself
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    QUERY_RESULT_EXPIRED = (
        "QUERY_RESULT_EXPIRED"  # answered; the rows are gone and the query has to run again
    )
    OTHER = ""  # a status that is newer than we are: not the end

    @property
    def final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in _FINAL


_FINAL = frozenset(
    {
        MessageStatus.COMPLETED,
        MessageStatus.FAILED,
        MessageStatus.CANCELLED,
        MessageStatus.QUERY_RESULT_EXPIRED,
    }
)
_STATUSES = {status.value: status for status in MessageStatus if status.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an answer comes from, by the workspace's own ids; empty for what there was none of."""

    space_id: str
    conversation_id: str
    message_id: str
    attachment_id: str = ""
    statement_id: str = ""

    def __str__(self) -> str:
        return f"space {self.space_id}, conversation {self.conversation_id}, message {self.message_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlParameter:
    """A value that Genie put into its query."""

    name: str
    type_name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query that Genie wrote. rows: how many it gave, None when not said; cut: that it gave more."""

    attachment_id: str
    sql: str
    title: str
    description: str
    statement_id: str
    parameters: tuple[SqlParameter, ...]
    rows: int | None
    cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A question and how far Genie is with it. said: the status in the workspace's word, empty when it gave none.

    text: what Genie says besides its query; asks_back: what it wants to know first. query: the last one it wrote;
    earlier ones were its own errors, and so was what it said between. unread: kinds of attachments that we do not
    know.
    """

    status: MessageStatus
    said: str
    provenance: Provenance
    error_type: str = ""
    error: str = ""
    text: str = ""
    asks_back: str = ""
    query: Query | None = None
    suggested_questions: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenieAnswer:
    """What Genie answered, with everything that is needed to check it.

    text and asks_back may be empty; with `asks_back` Genie wants to know more and has not answered yet. sql is
    empty when no query was needed. rows and columns are of the last query; total_rows None when nobody said how
    many there are; truncated: there are more rows than these. ran_again: the result had expired, so these rows are
    younger than the text. age_s: 0 for a fresh answer, else for how long it has been in memory; whoever asked it
    then owns the conversation, so a follow-up to an old answer begins a new one. unread: kinds of attachments that
    came and that we do not know.
    """

    question: str
    text: str
    asks_back: str
    title: str
    description: str
    sql: str
    parameters: tuple[SqlParameter, ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total_rows: int | None
    truncated: bool
    suggested_questions: tuple[str, ...]
    provenance: Provenance
    ran_again: bool = False
    age_s: float = 0.0
    unread: tuple[str, ...] = ()


def read_message(fields: Fields, asked: Provenance) -> Message:
    """Read a GenieMessage. `asked` has the ids that we know already; what the message says wins.

    AnswerMalformed for what is not as promised, AnswerTooLarge for more than a million characters of words and SQL.
    """
    said = plain(fields.text("status", ""))
    status = _STATUSES.get(said, MessageStatus.OTHER)
    provenance = Provenance(
        space_id=fields.identity("space_id", asked.space_id),
        conversation_id=fields.identity("conversation_id", asked.conversation_id),
        message_id=fields.identity("message_id", fields.identity("id", asked.message_id)),
    )
    error = fields.part("error")
    text, asks_back, query, suggested, unread = _attachments(fields)
    return Message(
        status=status,
        said=said,
        provenance=provenance,
        error_type="" if error is None else plain(error.text("type", "")),
        error="" if error is None else plain(error.text("error", "")),
        text=text,
        asks_back=asks_back,
        query=query,
        suggested_questions=suggested,
        unread=unread,
    )


def _attachments(fields: Fields) -> tuple[str, str, Query | None, tuple[str, ...], tuple[str, ...]]:
    queries: list[tuple[int, Query]] = []
    texts: list[tuple[int, str]] = []
    asked: list[str] = []
    suggested: list[str] = []
    unread: list[str] = []
    for place, attachment in enumerate(fields.parts("attachments")):
        if (query := attachment.part("query")) is not None:
            queries.append((place, _query(query, attachment)))
        if (text := attachment.part("text")) is not None:
            content = text.text("content", "").strip()
            if text.text("purpose", "").endswith(_ASKS_BACK):
                asked.append(content)
            else:
                texts.append((place, content))
        if (questions := attachment.part("suggested_questions")) is not None:
            suggested += questions.texts("questions")
        unread += [name for name in attachment.names() if _is_new(attachment, name)]
    if queries:
        first, last = queries[0][0], queries[-1][0]
        texts = [(place, content) for place, content in texts if not first < place < last]
    said = "\n\n".join(content for _, content in texts if content)
    asks_back = "\n\n".join(content for content in asked if content)
    found = queries[-1][1] if queries else None
    size = len(said) + len(asks_back) + sum(map(len, suggested))
    if found is not None:
        size += len(found.sql) + len(found.description)
    if size > MOST_CHARACTERS:
        raise AnswerTooLarge(
            f"{fields.place}: {size} characters of words and SQL; at most {MOST_CHARACTERS} are read. Ask for less"
        )
    return said, asks_back, found, tuple(suggested), tuple(dict.fromkeys(map(plain, unread)))


def _is_new(attachment: Fields, name: str) -> bool:
    known = ("query", "text", "suggested_questions", "viz")
    return name not in known and isinstance(attachment.raw(name), dict)


def _query(query: Fields, attachment: Fields) -> Query:
    metadata = query.part("query_result_metadata")
    return Query(
        attachment_id=attachment.identity("attachment_id", ""),
        sql=query.text("query", ""),
        title=query.text("title", ""),
        description=query.text("description", ""),
        statement_id=query.identity("statement_id", ""),
        parameters=tuple(
            SqlParameter(
                name=parameter.text("keyword", ""),
                type_name=parameter.text("sql_type", ""),
                value=parameter.text("value", ""),
            )
            for parameter in query.parts("parameters")
        ),
        rows=None if metadata is None else metadata.count("row_count"),
        cut=metadata is not None and metadata.flag("is_truncated"),
    )


def answer(
    question: str, message: Message, table: Table, *, statement_id: str = "", ran_again: bool = False
) -> GenieAnswer:
    """The answer that a finished message and the rows of its query make."""
    query = message.query
    ids = message.provenance
    return GenieAnswer(
        question=question,
        text=message.text,
        asks_back=message.asks_back,
        title="" if query is None else query.title,
        description="" if query is None else query.description,
        sql="" if query is None else query.sql,
        parameters=() if query is None else query.parameters,
        columns=table.columns,
        rows=table.rows,
        total_rows=query.rows if table.total_rows is None and query is not None else table.total_rows,
        truncated=table.truncated or (query is not None and query.cut),
        suggested_questions=message.suggested_questions,
        provenance=Provenance(
            space_id=ids.space_id,
            conversation_id=ids.conversation_id,
            message_id=ids.message_id,
            attachment_id="" if query is None else query.attachment_id,
            statement_id=statement_id or ("" if query is None else query.statement_id),
        ),
        ran_again=ran_again,
        unread=message.unread,
    )
