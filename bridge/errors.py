"""Every error the bridge raises, split by what the reader can do about it.

BridgeError
├── TryAgain                the same call may succeed later
│   ├── LinkDown            no session with an OPC UA server or broker
│   ├── StoreDown           the database does not answer
│   ├── BufferDown          the disk buffer takes no readings now: full, not writable, in use, or not ours
│   ├── GatewayDown         the Ignition gateway does not answer, or is still starting
│   ├── WorkspaceDown       the Databricks workspace does not answer, or answers with a passing failure
│   │   └── RateLimited     the workspace wants us to wait; says how long
│   ├── AnswerLost          a request that changes something may have happened: look before doing it again
│   ├── AnswerCut           a streamed answer ended before its end; carries what had come
│   ├── ModelFailed         Genie or a model failed in a way that may pass: busy, timed out, erred
│   ├── AnswerUnusable      a model's answer is not of the form that was asked for; nothing of it is used
│   ├── LostRace            somebody else did the same thing a moment earlier
│   └── DeadlineExceeded    an answer did not come in our own time limit (for reads; a write becomes `unknown`)
├── AskAPerson              a rule said no; a person decides what happens next
│   ├── RefusedByRule       a limit, a missing approval, a lost race: carries the named refusal
│   ├── QuestionRefused     the question itself is at fault: filtered, too long, or no query can answer it
│   └── QuestionCancelled   somebody cancelled or deleted the question in the workspace
├── FixConfiguration        nothing changes until somebody edits a file or a grant
│   ├── ConfigError         bridge.toml or the environment: carries every problem found
│   ├── QueryError          a file in named_queries/ does not keep its own header; names file and line
│   ├── SchemaError         the database is not migrated, or to another version
│   ├── AccessDenied        credentials or grants are missing
│   ├── ProjectBroken       an Ignition project that no gateway would take: carries every problem found
│   ├── JythonMissing       gateway scripts cannot be compiled on this machine
│   ├── TagFileBroken       a tag export that cannot be read at all
│   ├── NotAGateway         something answers, and not the REST API of an Ignition 8.3 gateway
│   ├── GatewayRefused      the gateway understood, and said no; its own words are in the message
│   ├── NotAWorkspace       something answers, and not the REST API of a Databricks workspace
│   ├── WorkspaceRefused    the workspace understood, and said no; carries its status and error code
│   ├── AnswerTooLarge      an answer longer than we ever read
│   ├── AnswerMalformed     an answer of a Databricks service without what it promises; names the field
│   ├── ServiceMisconfigured  a Genie space or serving endpoint that cannot work as it is set up there
│   ├── PortTaken           another program listens where we are to listen
│   ├── NotOnServer         a tag's node does not exist, or its type is not what was configured
│   └── PayloadError        a message that is not what its topic promises: garbage, cut short, too large
└── FixCode                 a promise between our own parts was broken; report it
    └── IllegalTransition   a state change that the lifecycle does not have
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.limits import Refusal


class BridgeError(Exception):
    """Base of all errors of the bridge."""


class TryAgain(BridgeError):
    """The same call may succeed later."""


class LinkDown(TryAgain):
    """There is no session with the OPC UA server or broker."""


class StoreDown(TryAgain):
    """The database does not answer."""


class BufferDown(TryAgain):
    """The disk buffer takes no readings now; the message says why and what to do."""


class GatewayDown(TryAgain):
    """The gateway does not answer; a push that was already under way may have arrived or not."""


class WorkspaceDown(TryAgain):
    """The workspace does not answer, or not now; `retry_after_s` is what it asked us to wait (None: it did not say)."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(WorkspaceDown):
    """The workspace has had enough of us for a moment; nothing was done."""


class AnswerLost(TryAgain):
    """A request that changes something left, and no answer came: it may have happened. Look before repeating it."""


class AnswerCut(TryAgain):
    """A streamed answer ended before its end; `so_far` is the text that had come, for showing only."""

    def __init__(self, message: str, *, so_far: str = "") -> None:
        super().__init__(message)
        self.so_far = so_far


class ModelFailed(TryAgain):
    """Genie or a model failed in a way that may pass; asking again is another question."""


class AnswerUnusable(TryAgain):
    """A model answered something else than the form it was asked for; nothing of it is used."""


class LostRace(TryAgain):
    """Somebody else did the same thing a moment earlier; look again before doing more."""


class DeadlineExceeded(TryAgain):
    """An answer did not come within our own time limit."""


class AskAPerson(BridgeError):
    """A rule said no, and a person decides what happens next."""


class RefusedByRule(AskAPerson):
    """A named rule refused the request; `refusal` says which and why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class QuestionRefused(AskAPerson):
    """The question itself is at fault, so that asking it again does not help; another one may."""


class QuestionCancelled(AskAPerson):
    """Somebody cancelled, changed or deleted the question in the workspace while it was worked on."""


class FixConfiguration(BridgeError):
    """Nothing changes until somebody edits a file, a grant or a password."""


class ConfigError(FixConfiguration):
    """The configuration has problems; `problems` lists every one of them."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class QueryError(FixConfiguration):
    """A named query does not keep its own header; the message names file and line."""


class SchemaError(FixConfiguration):
    """The database schema is missing or of another version."""


class AccessDenied(FixConfiguration):
    """The database or the server refuses these credentials or this role."""


class PortTaken(FixConfiguration):
    """Another program listens where the published OPC UA server is to listen."""


class NotOnServer(FixConfiguration):
    """A configured node does not exist on the server, or its type differs."""


class PayloadError(FixConfiguration):
    """A message that cannot be read or written as what it should be; whoever sends it has to be mended."""


class ProjectBroken(FixConfiguration):
    """Not a project that Ignition would take; `problems` lists what is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class JythonMissing(FixConfiguration):
    """No Jython 2.7 on this machine, so nothing can be said about scripts."""


class TagFileBroken(FixConfiguration):
    """A tag export that cannot be read; the message says where."""


class NotAGateway(FixConfiguration):
    """What answers at this address is not the REST API of an Ignition 8.3 gateway."""


class GatewayRefused(FixConfiguration):
    """The gateway understood the request and refused it."""


class NotAWorkspace(FixConfiguration):
    """What answers at this address is not the REST API of a Databricks workspace."""


class WorkspaceRefused(FixConfiguration):
    """The workspace understood the request and refused it.

    `status` is the HTTP status, `error_code` its own name for the reason (empty: it gave none), `words` its text.
    """

    def __init__(self, message: str, *, status: int, error_code: str = "", words: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.words = words


class AnswerTooLarge(FixConfiguration):
    """An answer longer than we ever read; ask for less."""


class AnswerMalformed(FixConfiguration):
    """An answer of a Databricks service that lacks what it promises; the message names the field."""


class ServiceMisconfigured(FixConfiguration):
    """A Genie space or a serving endpoint cannot work as it is set up in the workspace: warehouse, tables, model."""


class FixCode(BridgeError):
    """One part of the bridge broke a promise to another; please report it."""


class IllegalTransition(FixCode):
    """A state change that the lifecycle does not have."""
