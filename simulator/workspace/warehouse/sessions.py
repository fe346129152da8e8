"""Sessions and operations: what a client has opened, what runs for it, and what it may still fetch."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial

from simulator.workspace.warehouse.engine import Context, Engine, Watch
from simulator.workspace.warehouse.errors import Cancelled, Refused
from simulator.workspace.warehouse.faults import Faults
from simulator.workspace.warehouse.refusals import conflict
from simulator.workspace.warehouse.values import Parameters, Result


class State(Enum):
    """Of an operation."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CLOSED = "closed"


@dataclass(slots=True)
class Statement:
    """What was executed. ``ended_utc`` and ``outcome`` are None while it runs; the outcome is ok or an SQLSTATE."""

    text: str
    started_utc: datetime
    ended_utc: datetime | None = None
    outcome: str | None = None


class Operation:
    """One statement of one session, running in a thread of its own."""

    def __init__(self, text: str) -> None:
        self.id = uuid.uuid4().bytes
        self.secret = secrets.token_bytes(16)
        self.text = text
        self.state = State.PENDING
        self.result = Result()
        self.error: Refused | None = None
        self.fetched = 0
        """Rows that the client has."""
        self._done = threading.Event()
        self._stopped = threading.Event()
        self._cancel: Callable[[], None] = lambda: None
        self._guard = threading.Lock()

    def wait(self, timeout_s: float) -> bool:
        """Whether it came to its end in time."""
        return self._done.wait(timeout_s)

    def pause(self, seconds: float | None) -> None:
        """Stand still (None: for ever). Raises ``Cancelled`` as soon as somebody stops it."""
        if self._stopped.wait(seconds):
            raise Cancelled("stopped")

    def stop(self, state: State) -> None:
        """Cancel what runs; CANCELLED or CLOSED. An operation that is over keeps its state, but for CLOSED."""
        with self._guard:
            if self._done.is_set():
                self.state = State.CLOSED if state is State.CLOSED else self.state
                return
            self.state = state
            self._stopped.set()
            cancel = self._cancel
        cancel()

    def time_out(self, seconds: float) -> None:
        """Stop it because it took longer than its session allows."""
        with self._guard:
            if self._done.is_set() or self._stopped.is_set():
                return
            self.error = Refused(
                "STATEMENT_TIMEOUT",
                "HYT00",
                f"The statement ran longer than STATEMENT_TIMEOUT allows: {seconds:g} s.",
            )
        self.stop(State.FAILED)

    def began(self, cancel: Callable[[], None]) -> None:
        """It runs in the database; ``cancel`` stops it there."""
        with self._guard:
            if self._stopped.is_set():
                raise Cancelled("stopped before it began")
            self.state = State.RUNNING
            self._cancel = cancel

    def ended(self, outcome: Result | Refused | None) -> None:
        """With a result, an error, or nothing (it was stopped)."""
        with self._guard:
            self._cancel = lambda: None
            if isinstance(outcome, Result):
                self.result = outcome
                self.state = State.FINISHED if not self._stopped.is_set() else self.state
            elif isinstance(outcome, Refused):
                self.error = outcome
                self.state = State.FAILED
            elif self.state not in (State.CANCELLED, State.CLOSED, State.FAILED):
                self.state = State.CANCELLED
            self._done.set()


@dataclass(slots=True)
class Session:
    """What one client connected as."""

    context: Context
    id: bytes = field(default_factory=lambda: uuid.uuid4().bytes)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    operations: dict[bytes, Operation] = field(default_factory=dict)


class Sessions:
    """All that is open, and the list of what was executed."""

    def __init__(self, engine: Engine, faults: Faults) -> None:
        self._engine = engine
        self._faults = faults
        self._guard = threading.Lock()
        self._sessions: dict[bytes, Session] = {}
        self.statements: list[Statement] = []
        self.hold: Callable[[], object] | None = None
        """Called in every statement's thread after its snapshot and before its work, for tests of what overlaps."""

    def open(self, context: Context) -> Session:
        """A new session."""
        session = Session(context)
        with self._guard:
            self._sessions[session.id] = session
        return session

    def find(self, session_id: bytes, *, for_statement: bool = False) -> Session | None:
        """None when it was closed, or never was. A session may expire when a statement comes."""
        if for_statement and self._faults.take("expired_session") is not None:
            self.close(session_id)
        with self._guard:
            return self._sessions.get(session_id)

    def close(self, session_id: bytes) -> bool:
        """Whether it was open. What runs in it is cancelled."""
        with self._guard:
            session = self._sessions.pop(session_id, None)
        for operation in list(session.operations.values()) if session else ():
            operation.stop(State.CLOSED)
        return session is not None

    def close_all(self) -> None:
        """Everything ends."""
        with self._guard:
            open_now = list(self._sessions)
        for one in open_now:
            self.close(one)

    def operation(self, operation_id: bytes) -> Operation | None:
        """In whichever session it is."""
        with self._guard:
            return next(
                (s.operations[operation_id] for s in self._sessions.values() if operation_id in s.operations),
                None,
            )

    def forget(self, operation_id: bytes) -> None:
        """Close the operation; what it still does is cancelled."""
        with self._guard:
            for session in self._sessions.values():
                operation = session.operations.pop(operation_id, None)
                if operation is not None:
                    break
            else:
                return
        operation.stop(State.CLOSED)

    def start(self, session: Session, text: str, parameters: Parameters) -> Operation:
        """Begin a statement; it runs in the background."""
        operation = Operation(text)
        session.operations[operation.id] = operation
        threading.Thread(
            target=self._run,
            args=(operation, session.context, parameters),
            name="warehouse-statement",
            daemon=True,
        ).start()
        return operation

    def keep(self, session: Session, text: str, result: Result) -> Operation:
        """An operation that has its result already."""
        operation = Operation(text)
        operation.ended(result)
        session.operations[operation.id] = operation
        return operation

    def run_now(self, text: str, parameters: Parameters, context: Context) -> Result:
        """The same without a session; waits for the end. Raises ``Refused``, ``Cancelled``."""
        operation = Operation(text)
        self._run(operation, context, parameters)
        if operation.error is not None:
            raise operation.error
        if operation.state is not State.FINISHED:
            raise Cancelled(text[:80])
        return operation.result

    def run_quietly(self, text: str, context: Context, parameters: Parameters = None) -> Result:
        """For our own purposes: no faults, not listed. Raises ``Refused``."""
        return self._engine.execute(text, parameters, context, Watch())

    def _run(self, operation: Operation, context: Context, parameters: Parameters) -> None:
        outcome: Result | Refused | None = None
        record: Statement | None = None
        limit_s = float(context.settings.get("statement_timeout", "0") or 0)
        clock = threading.Timer(limit_s, operation.time_out, (limit_s,))
        clock.daemon = True
        if limit_s > 0.0:
            clock.start()
        try:
            if (cold_s := self._faults.take("starting")) is not None:
                operation.pause(cold_s)
            record = Statement(operation.text, datetime.now(UTC))
            with self._guard:
                self.statements.append(record)
            if self._faults.take("denied") is not None:
                raise Refused(
                    "INSUFFICIENT_PERMISSIONS",
                    "42501",
                    "User does not have permission on the objects of this statement.",
                )
            if self._faults.take("statement_forever") is not None:
                operation.state = State.RUNNING
                operation.pause(None)
            outcome = self._engine.execute(
                operation.text, parameters, context, Watch(operation.began, partial(self._ready, operation))
            )
        except Refused as refused:
            outcome = refused
        except Cancelled:
            outcome = operation.error  # of one that took too long
        except BaseException as error:
            outcome = Refused("INTERNAL_ERROR", "XX000", f"The simulated warehouse failed: {error!r}.")
            raise
        finally:
            clock.cancel()
            if record is not None:
                record.outcome = (
                    "ok"
                    if isinstance(outcome, Result)
                    else outcome.sqlstate
                    if outcome is not None
                    else "cancelled"
                )
                record.ended_utc = datetime.now(UTC)
            operation.ended(outcome)

    def _ready(self, operation: Operation, changes: bool) -> None:
        if (seconds := self._faults.take("slow_statement")) is not None:
            operation.pause(seconds)
        if self.hold is not None:
            self.hold()
        if changes and self._faults.take("conflict") is not None:
            raise conflict("update")
