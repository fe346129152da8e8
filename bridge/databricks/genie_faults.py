"""What a failed question means, by what the reader can do about it. Pure.

Genie knows some 65 error types, and more with every year. They are grouped here by what helps; a type that is in no
group counts as a failure that may pass, and its name is in the message.
"""

from __future__ import annotations

import re
from enum import Enum

from bridge.databricks.genie_answer import Message
from bridge.errors import (
    AccessDenied,
    BridgeError,
    ModelFailed,
    QuestionCancelled,
    QuestionRefused,
    RateLimited,
    ServiceMisconfigured,
)


class Remedy(Enum):
    """What helps against a failure, in words for the message."""

    WAIT = "Genie was asked too much; ask again in a minute"
    ASK_AGAIN = "this may pass; the same question may be asked again"
    ASK_OTHERWISE = "the same question fails again; ask it in other words, or for less"
    MEND_THE_SPACE = (
        "whoever owns the Genie space has to mend it: its warehouse, its tables, its certified answers"
    )
    GRANT = "the bridge's identity needs SELECT on the tables, CAN USE on the space's warehouse, CAN RUN on the space"
    NOBODY = "somebody cancelled, changed or deleted it in the workspace; ask again if it is still wanted"


_GROUPS: tuple[tuple[Remedy, str], ...] = (
    (Remedy.WAIT, r"RATE_LIMIT_EXCEEDED_\w+"),
    (
        Remedy.NOBODY,
        r"MESSAGE_(CANCELLED|DELETED|UPDATED)_WHILE_EXECUTING_EXCEPTION|STOP_PROCESS_DUE_TO_AUTO_REGENERATE",
    ),
    (Remedy.GRANT, r"WAREHOUSE_ACCESS_MISSING_EXCEPTION"),
    (
        Remedy.ASK_OTHERWISE,
        r"SQL_EXECUTION_EXCEPTION|CONTENT_FILTER_EXCEPTION|(LOCAL_)?CONTEXT_EXCEEDED_EXCEPTION"
        r"|EXCEEDED_MAX_TOKEN_LENGTH_EXCEPTION|GENERATED_SQL_QUERY_TOO_LONG_EXCEPTION|INVALID_SQL_\w+"
        r"|DESCRIBE_QUERY_INVALID_SQL_ERROR|MESSAGE_ATTACHMENT_TOO_LONG_ERROR|MISSING_SQL_QUERY_EXCEPTION"
        r"|NO_QUERY_TO_VISUALIZE_EXCEPTION",
    ),
    (
        Remedy.MEND_THE_SPACE,
        r"WAREHOUSE_\w+|TABLES_MISSING_EXCEPTION|NO_TABLES_TO_QUERY_EXCEPTION|TOO_MANY_TABLES_EXCEPTION"
        r"|TOO_MANY_CERTIFIED_ANSWERS_EXCEPTION|INVALID_CERTIFIED_ANSWER_\w+|INVALID_TABLE_IDENTIFIER_EXCEPTION"
        r"|COULD_NOT_GET_\w+|DEPLOYMENT_NOT_FOUND_EXCEPTION|NO_DEPLOYMENTS_AVAILABLE_TO_WORKSPACE"
        r"|FUNCTIONS_NOT_AVAILABLE_EXCEPTION|ILLEGAL_PARAMETER_DEFINITION_EXCEPTION|UNKNOWN_AI_MODEL"
        r"|UNSUPPORTED_CONVERSATION_TYPE_EXCEPTION"
        r"|INTERNAL_CATALOG_(?!ASSET_CREATION_ONGOING)\w+",
    ),
    (
        Remedy.ASK_AGAIN,
        r"RETRYABLE_PROCESSING_EXCEPTION|(GENERIC_)?CHAT_COMPLETION_\w+|REPLY_PROCESS_TIMEOUT_EXCEPTION"
        r"|UNEXPECTED_REPLY_PROCESS_EXCEPTION|DESCRIBE_QUERY_(TIMEOUT|UNEXPECTED_FAILURE)"
        r"|BLOCK_MULTIPLE_EXECUTIONS_EXCEPTION|GENERIC_SQL_EXEC_API_CALL_EXCEPTION"
        r"|INTERNAL_CATALOG_ASSET_CREATION_ONGOING_EXCEPTION"
        # the model misspoke its own protocol: the next time it may not
        r"|INVALID_(CHAT_COMPLETION_JSON|COMPLETION_REQUEST|FUNCTION_CALL)_EXCEPTION"
        r"|FUNCTION_(ARGUMENTS_INVALID\w*|CALL_MISSING_PARAMETER)_EXCEPTION",
    ),
)
_PATTERNS = tuple((remedy, re.compile(pattern)) for remedy, pattern in _GROUPS)

# Missing rights arrive as words, whatever the type.
_NO_RIGHT = re.compile(
    r"PERMISSION_DENIED|INSUFFICIENT_PERMISSIONS|insufficient (privilege|permission)|permission denied"
    r"|(does not|doesn't|do not|don't) have (\w+ ){0,6}(permission|privilege|access)"
    r"|(lacks?|missing) (\w+ ){0,4}(permission|privilege)|not authorized|unauthorized|no permission",
    re.IGNORECASE,
)
_OF_RIGHTS = (Remedy.ASK_OTHERWISE, Remedy.MEND_THE_SPACE, Remedy.ASK_AGAIN)


def group(error_type: str) -> Remedy | None:
    """The group of an error type; None for a type that is not known here."""
    for remedy, pattern in _PATTERNS:
        if pattern.fullmatch(error_type):
            return remedy
    return None


def remedy_of(error_type: str, words: str) -> Remedy:
    """What helps against a failure, by its type and, for missing rights, by its words."""
    found = group(error_type) or Remedy.ASK_AGAIN
    return Remedy.GRANT if found in _OF_RIGHTS and _NO_RIGHT.search(words) else found


def failure(message: Message) -> BridgeError:
    """The error that a message with status FAILED stands for."""
    said = ": ".join(part for part in (message.error_type, message.error) if part) or "it does not say why"
    known = "" if group(message.error_type) or not message.error_type else " (a type that is not known here)"
    instead = _instead(message.suggested_questions)
    remedy = remedy_of(message.error_type, message.error)
    return error(remedy, f"Genie failed ({message.provenance}): {said}{known}. {_sentence(remedy)}{instead}")


def query_failure(message: Message, error_code: str, words: str) -> BridgeError:
    """The error for an answered question whose query failed when it was run for its rows."""
    said = ": ".join(part for part in (error_code, words) if part) or "it does not say why"
    remedy = Remedy.GRANT if _NO_RIGHT.search(f"{error_code} {words}") else Remedy.ASK_OTHERWISE
    return error(remedy, f"Genie's query failed ({message.provenance}): {said}. {_sentence(remedy)}")


def error(remedy: Remedy, text: str) -> BridgeError:
    """The error class that stands for what helps."""
    match remedy:
        case Remedy.WAIT:
            return RateLimited(text, retry_after_s=60.0)
        case Remedy.ASK_AGAIN:
            return ModelFailed(text)
        case Remedy.ASK_OTHERWISE:
            return QuestionRefused(text)
        case Remedy.MEND_THE_SPACE:
            return ServiceMisconfigured(text)
        case Remedy.GRANT:
            return AccessDenied(text)
        case Remedy.NOBODY:
            return QuestionCancelled(text)


def _sentence(remedy: Remedy) -> str:
    return remedy.value[0].upper() + remedy.value[1:]


def _instead(questions: tuple[str, ...]) -> str:
    shown = [" ".join(question.split())[:120] for question in questions[:3]]
    return f". It suggests: {' | '.join(shown)}" if shown else ""
