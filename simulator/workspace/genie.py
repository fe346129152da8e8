"""Genie's conversation API: spaces with scripted answers whose SQL runs for real, five questions a minute."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from simulator.workspace.answers import Asked, Document, Refusal, bad, missing
from simulator.workspace.clock import Clock
from simulator.workspace.faults import Faults
from simulator.workspace.genie_message import (
    CLARIFY,
    FAULTS,
    ROW_LIMIT,
    Attachment,
    Message,
    changed,
    new_id,
    plan,
)
from simulator.workspace.pages import page
from simulator.workspace.routes import Handler, Route, route
from simulator.workspace.scripts import GenieSpace, Script
from simulator.workspace.sql import LAKEBASE_CATALOG
from simulator.workspace.statements import Statement, Statements

_WINDOW_S: Final = 60.0
_RATINGS: Final = ("POSITIVE", "NEGATIVE", "NONE")
_UNKNOWN: Final = "CONSULTING_ORACLE"
_CONVERSATION: Final = "/api/2.0/genie/spaces/{space}/conversations/{conversation}"
_MESSAGE: Final = f"{_CONVERSATION}/messages/{{message}}"


@dataclass(kw_only=True)
class Conversation:
    """Questions of one person in one space, oldest first."""

    space: GenieSpace
    owner: str
    title: str
    created_ms: int
    id: str = field(default_factory=new_id)
    messages: dict[str, Message] = field(default_factory=dict)

    def document(self) -> Document:
        """As ``start-conversation`` gives it."""
        return {
            "id": self.id,
            "conversation_id": self.id,
            "space_id": self.space.space_id,
            "title": self.title,
            "created_timestamp": self.created_ms,
            "last_updated_timestamp": self.created_ms,
        }


@dataclass
class Genie:
    """All spaces. ``per_minute`` counts questions over the whole workspace, and questions only."""

    clock: Clock
    faults: Faults
    statements: Statements
    script: Script
    per_minute: int = 5
    _conversations: dict[str, Conversation] = field(default_factory=dict)
    _asked_s: deque[float] = field(default_factory=deque)

    def forget(self) -> None:
        """No question was ever asked."""
        self._conversations.clear()
        self._asked_s.clear()

    def routes(self) -> list[Route]:
        """The requests of this area."""

        def genie(verb: str, path: str, handler: Handler, *, body: str = "", query: str = "") -> Route:
            return route(verb, path, handler, area="genie", body=body, query=query)

        spaces = "/api/2.0/genie/spaces"
        paging = "page_size:whole page_token:text"
        question = "content:text! enable_visualization:flag"
        return [
            genie("GET", spaces, self._list_spaces, query=paging),
            genie("GET", f"{spaces}/{{space}}", self._get_space, query="include_serialized_space:flag"),
            genie("POST", f"{spaces}/{{space}}/start-conversation", self._start, body=question),
            genie(
                "GET",
                f"{spaces}/{{space}}/conversations",
                self._list_conversations,
                query=f"{paging} include_all:flag",
            ),
            genie("DELETE", _CONVERSATION, self._delete_conversation),
            genie("POST", f"{_CONVERSATION}/messages", self._follow_up, body=question),
            genie("GET", f"{_CONVERSATION}/messages", self._list_messages, query=paging),
            genie("GET", _MESSAGE, self._get_message),
            genie("DELETE", _MESSAGE, self._delete_message),
            genie("GET", f"{_MESSAGE}/attachments/{{attachment}}/query-result", self._result),
            genie("POST", f"{_MESSAGE}/attachments/{{attachment}}/execute-query", self._execute),
            genie("POST", f"{_MESSAGE}/feedback", self._rate, body="rating:text! comment:text"),
            genie("POST", f"{_MESSAGE}/comments", self._comment, body="content:text!"),
            genie("GET", f"{_MESSAGE}/comments", self._list_comments, query=paging),
        ]

    # ── spaces ────────────────────────────────────────────────────────────────────────────────────────────

    def _space(self, asked: Asked) -> GenieSpace:
        wanted = asked.place["space"]
        for space in self.script.genie:
            if space.space_id == wanted:
                return space
        raise missing(f"Genie space {wanted} does not exist or you have no permission on it")

    def _of_space(self, space: GenieSpace) -> Document:
        return {
            "space_id": space.space_id,
            "title": space.title,
            "description": space.description,
            "warehouse_id": self.statements.warehouses.id,
        }

    async def _list_spaces(self, asked: Asked) -> Document:
        return page([self._of_space(space) for space in self.script.genie], asked, "spaces", most=100)

    async def _get_space(self, asked: Asked) -> Document:
        space = self._space(asked)
        found = self._of_space(space)
        if asked.flag("include_serialized_space"):
            if asked.known_caller.service_principal:
                raise Refusal(403, "PERMISSION_DENIED", f"CAN EDIT is wanted on Genie space {space.space_id}")
            found["serialized_space"] = '{"version":1}'
        return found

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self, asked: Asked) -> Document:
        space = self._space(asked)
        self._count_question(asked)
        conversation = Conversation(
            space=space,
            owner=asked.known_caller.id,
            title=asked.text("content")[:80],
            created_ms=self.clock.now_ms(),
        )
        self._conversations[conversation.id] = conversation
        message = self._ask(conversation, asked)
        return {
            "conversation_id": conversation.id,
            "message_id": message.id,
            "conversation": conversation.document(),
            "message": message.document(),
        }

    async def _follow_up(self, asked: Asked) -> Document:
        conversation = self._conversation(asked)
        self._count_question(asked)
        return self._ask(conversation, asked).document()

    def _count_question(self, asked: Asked) -> None:
        """Raises ``Refusal`` for an empty question, and 429, without Retry-After, for one too many."""
        if not asked.text("content").strip():
            raise bad("content: a question was expected, found nothing")
        now_s = self.clock.elapsed_s()
        while self._asked_s and now_s - self._asked_s[0] >= _WINDOW_S:
            self._asked_s.popleft()
        if len(self._asked_s) >= self.per_minute:
            raise Refusal(
                429,
                "REQUEST_LIMIT_EXCEEDED",
                f"The workspace has asked Genie {self.per_minute} questions within a minute, over all its spaces",
            )
        self._asked_s.append(now_s)

    def _ask(self, conversation: Conversation, asked: Asked) -> Message:
        question = asked.text("content")
        answer = next(
            (
                each
                for each in conversation.space.answers
                if re.search(each.question, question, re.IGNORECASE) is not None
            ),
            CLARIFY,
        )
        stuck, unknown = False, ""
        planned = plan(answer, question)
        for name in FAULTS:
            fault = self.faults.take(name)
            if fault is not None:
                stuck, unknown = name == "genie_stuck", _UNKNOWN if name == "genie_unknown_status" else ""
                planned = plan(changed(answer, name, fault.value), question)
                break
        message = Message(
            space_id=conversation.space.space_id,
            conversation_id=conversation.id,
            user_id=asked.known_caller.id,
            content=question,
            plan=planned,
            clock=self.clock,
            begin=partial(self._begin, conversation.space),
            starting=lambda: self.statements.warehouses.state == "STARTING",
            stuck=stuck,
            unknown_status=unknown,
        )
        conversation.messages[message.id] = message
        return message

    def _begin(self, space: GenieSpace, sql: str) -> Statement:
        catalog = LAKEBASE_CATALOG if space.runs_on == "lakebase" else space.catalog
        return self.statements.begin(sql, catalog=catalog, schema=space.sql_schema, row_limit=ROW_LIMIT)

    # ── conversations and messages ────────────────────────────────────────────────────────────────────────

    def _conversation(self, asked: Asked) -> Conversation:
        space = self._space(asked)
        found = self._conversations.get(asked.place["conversation"])
        if found is None or found.space.space_id != space.space_id or found.owner != asked.known_caller.id:
            raise missing(
                f"Conversation {asked.place['conversation']} does not exist in space {space.space_id}"
            )
        return found

    def _message(self, asked: Asked) -> Message:
        conversation = self._conversation(asked)
        found = conversation.messages.get(asked.place["message"])
        if found is None:
            raise missing(
                f"Message {asked.place['message']} does not exist in conversation {conversation.id}"
            )
        return found

    async def _list_conversations(self, asked: Asked) -> Document:
        space = self._space(asked)
        if asked.flag("include_all") and asked.known_caller.service_principal:
            raise Refusal(403, "PERMISSION_DENIED", f"CAN MANAGE is wanted on Genie space {space.space_id}")
        own = [
            {"conversation_id": each.id, "title": each.title, "created_timestamp": each.created_ms}
            for each in reversed(self._conversations.values())
            if each.space.space_id == space.space_id
            and (asked.flag("include_all") or each.owner == asked.known_caller.id)
        ]
        return page(own, asked, "conversations", most=100)

    async def _delete_conversation(self, asked: Asked) -> Document:
        del self._conversations[self._conversation(asked).id]
        return {}

    async def _list_messages(self, asked: Asked) -> Document:
        messages = self._conversation(asked).messages.values()
        return page([each.document() for each in messages], asked, "messages", most=100)

    async def _get_message(self, asked: Asked) -> Document:
        message = self._message(asked)
        try:
            message.looked_at()
        except Refusal as refusal:  # from its SQL: Genie tells it in the message
            message.fail("WAREHOUSE_ACCESS_MISSING_EXCEPTION", refusal.message)
        return message.document()

    async def _delete_message(self, asked: Asked) -> Document:
        message = self._message(asked)
        del self._conversations[message.conversation_id].messages[message.id]
        return {}

    # ── results ───────────────────────────────────────────────────────────────────────────────────────────

    def _query(self, asked: Asked) -> tuple[Message, Attachment]:
        message = self._message(asked)
        for attachment in message.attachments:
            if attachment.id == asked.place["attachment"] and attachment.query is not None:
                return message, attachment
        raise missing(f"Attachment {asked.place['attachment']} of message {message.id} is no query")

    async def _result(self, asked: Asked) -> Document:
        message, attachment = self._query(asked)
        if message.done:
            message.looked_at()  # it may have grown too old; a message under way goes on by its own request only
        if message.status not in ("COMPLETED", "EXECUTING_QUERY") or attachment.statement is None:
            raise bad(f"Message {message.id} is {message.status}: there is no query result to fetch")
        return {"statement_response": self.statements.document(attachment.statement)}

    async def _execute(self, asked: Asked) -> Document:
        message, attachment = self._query(asked)
        assert attachment.query is not None
        if message.status not in ("COMPLETED", "QUERY_RESULT_EXPIRED"):
            raise bad(f"Message {message.id} is {message.status}: its query cannot be executed again")
        space = self._conversations[message.conversation_id].space
        attachment.statement = self._begin(space, attachment.query.sql)
        message.status = "COMPLETED"
        return {"statement_response": self.statements.document(attachment.statement)}

    # ── what people think of it ───────────────────────────────────────────────────────────────────────────

    async def _rate(self, asked: Asked) -> Document:
        message = self._message(asked)
        if asked.text("rating") not in _RATINGS:
            raise bad(f"rating: expected {', '.join(_RATINGS)}, found {asked.text('rating')!r}")
        message.rating = asked.text("rating")
        if asked.given("comment"):
            self._add_comment(message, asked.text("comment"))
        return {}

    async def _comment(self, asked: Asked) -> Document:
        return self._add_comment(self._message(asked), asked.text("content"))

    def _add_comment(self, message: Message, text: str) -> Document:
        made: Document = {
            "message_comment_id": new_id(),
            "space_id": message.space_id,
            "conversation_id": message.conversation_id,
            "message_id": message.id,
            "content": text,
            "created_timestamp": self.clock.now_ms(),
        }
        message.comments.append(made)
        return made

    async def _list_comments(self, asked: Asked) -> Document:
        return page(self._message(asked).comments, asked, "comments", most=100)
