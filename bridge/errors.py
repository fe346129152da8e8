"""Every error the bridge raises, split by what the reader can do about it.

BridgeError
├── TryAgain                the same call may succeed later
│   ├── LinkDown            no session with an OPC UA server or broker
│   ├── StoreDown           the database does not answer
│   ├── BufferDown          the disk buffer takes no readings now: full, not writable, in use, or not ours
│   ├── GatewayDown         the Ignition gateway does not answer, or is still starting
│   ├── LostRace            somebody else did the same thing a moment earlier
│   └── DeadlineExceeded    an answer did not come in our own time limit (for reads; a write becomes `unknown`)
├── AskAPerson              a rule said no; a person decides what happens next
│   └── RefusedByRule       a limit, a missing approval, a lost race: carries the named refusal
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


class FixCode(BridgeError):
    """One part of the bridge broke a promise to another; please report it."""


class IllegalTransition(FixCode):
    """A state change that the lifecycle does not have."""
