"""Genie's answers as a workspace writes them, for tests to bend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SPACE, CONVERSATION, MESSAGE, ATTACHMENT = "01efspace", "01efconv", "01efmsg", "01efatt"

Json = dict[str, object]


def message(status: str | None, *attachments: Mapping[str, object], **more: object) -> Json:
    return {
        "space_id": SPACE,
        "conversation_id": CONVERSATION,
        "message_id": MESSAGE,
        "id": MESSAGE,
        "content": "why is it hot?",
        "status": status,
        "attachments": list(attachments),
        **more,
    }


def started(status: str = "SUBMITTED") -> Json:
    return {
        "conversation_id": CONVERSATION,
        "message_id": MESSAGE,
        "conversation": {"id": CONVERSATION, "title": "why is it hot?"},
        "message": message(status),
    }


def query(sql: str = "select 1", *, attachment_id: str = ATTACHMENT, **more: object) -> Json:
    return {
        "attachment_id": attachment_id,
        "query": {"query": sql, "statement_id": f"st-{attachment_id}", **more},
    }


def text(content: str, purpose: str | None = None) -> Json:
    return {"attachment_id": f"text-{len(content)}", "text": {"content": content, "purpose": purpose}}


def suggestions(*questions: str) -> Json:
    return {"attachment_id": "sq", "suggested_questions": {"questions": list(questions)}}


def rows(
    columns: Sequence[tuple[str, str]] = (("n", "LONG"),),
    data: Sequence[Sequence[object]] = (("1",),),
    *,
    state: str = "SUCCEEDED",
    manifest: Mapping[str, object] | None = None,
    result: Mapping[str, object] | None = None,
) -> Json:
    described = [
        {"name": name, "type_name": type_name, "type_text": type_name, "position": place}
        for place, (name, type_name) in enumerate(columns)
    ]
    return {
        "statement_response": {
            "statement_id": "st-rows",
            "status": {"state": state},
            "manifest": {
                "format": "JSON_ARRAY",
                "schema": {"column_count": len(columns), "columns": described},
                "total_row_count": len(data),
                "total_chunk_count": 1,
                "truncated": False,
                **(manifest or {}),
            },
            "result": {
                "chunk_index": 0,
                "row_offset": 0,
                "row_count": len(data),
                "data_array": [list(line) for line in data],
                **(result or {}),
            },
        }
    }


def pending(state: str = "PENDING", **more: object) -> Json:
    return {"statement_response": {"statement_id": "st-rows", "status": {"state": state, **more}}}
