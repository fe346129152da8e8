"""The workspace on the wire: one policy for every request. With `cutting`, all of this part that knows requests.

No redirect is followed, every answer is bounded in time and size, every failure has a name, and no message or log
line holds a token. A request that changes something is repeated only when it is marked idempotent or surely never
arrived.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from bridge import __version__
from bridge.databricks.answers import Again, Failure, judge, login_refused, plain
from bridge.databricks.call import Answer, Call, Reply
from bridge.databricks.cutting import CuttableAdapter, Work, doing, within
from bridge.databricks.events import Lines
from bridge.errors import (
    AccessDenied,
    AnswerLost,
    AnswerTooLarge,
    BridgeError,
    ConfigError,
    DeadlineExceeded,
    FixConfiguration,
    WorkspaceDown,
)
from bridge.ports import Clock
from bridge.settings.databricks import is_loopback, workspace_host

__all__ = ["MOST_BYTES", "Answer", "Auth", "Call", "Timeouts", "Wire", "Workspace"]

MOST_BYTES = 16 * 2**20
_THREADS = 8
_MOST_ATTEMPTS = 12
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_PIECE = 65_536
_GRACE_S = 0.5  # the limits between two bytes say more of what is wrong, where they come first


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """connect_s: until a connection stands. silence_s: longest time without a byte from the server."""

    connect_s: float = 5.0
    silence_s: float = 30.0


class Auth(Protocol):
    """Who we are. `source` says in words where the login comes from; it and repr hold no secret."""

    @property
    def source(self) -> str:
        """The place, in words."""
        ...

    def headers(self, *, budget_s: float) -> Mapping[str, str]:
        """Headers for one request; may fetch a token first. AccessDenied when there is none to be had."""
        ...

    def renew(self, refused: Mapping[str, str], *, budget_s: float) -> bool:
        """After a refusal of these headers: True when other ones are to be had now, and a repeat makes sense."""
        ...


class _Again(Exception):
    """A failure after which the same request may be sent once more."""

    def __init__(self, error: BridgeError, *, once: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.once = once


class _GivenHeaders(AuthBase):
    """Keeps requests from looking into ~/.netrc, whose login would replace ours."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class Wire:
    """One server, one request at a time per thread: a single attempt, without login and without repeats."""

    def __init__(
        self,
        host: str,
        clock: Clock,
        *,
        timeouts: Timeouts = Timeouts(),
        ca_certificate: Path | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """host: https://… alone; http:// for this machine. ConfigError where it is something else."""
        try:
            self.host = workspace_host(host)
        except ValueError as problem:
            raise ConfigError([str(problem)]) from None
        self._clock = clock
        self._timeouts = timeouts
        self._ca = None if ca_certificate is None else str(ca_certificate)
        self._most_bytes = most_bytes
        self._session = requests.Session()
        # Proxies of the environment are for other machines than this one.
        self._session.trust_env = not is_loopback(urlsplit(self.host).hostname or "")
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": f"ignition-bridge/{__version__}"})
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, CuttableAdapter(pool_maxsize=_THREADS, max_retries=0))

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        self._session.close()

    def ask(self, call: Call, headers: Mapping[str, str], *, left_s: float) -> Answer:
        """Send once, and give the JSON object; an answer that is none raises its error."""
        try:
            return self.judged(call, self.send(call, headers, left_s=left_s))
        except _Again as passing:
            raise passing.error from passing

    def send(self, call: Call, headers: Mapping[str, str], *, left_s: float) -> Reply:
        """Send once and read the whole answer, whatever its status. Raises _Again for what may pass."""
        ends_s = self._clock.monotonic_s() + left_s
        with self.opened(call, headers, left_s=left_s) as response:
            return self.whole(call, response, ends_s)

    def judged(self, call: Call, reply: Reply) -> Answer:
        """The JSON object of an answer; raises what it means otherwise, as _Again where that may pass."""
        found = judge(call, reply, self._clock.now_utc())
        if not isinstance(found, Failure):
            return found
        if found.again is Again.NO:
            raise found.error
        raise _Again(found.error, once=found.again is Again.ONCE)

    @contextmanager
    def opened(self, call: Call, headers: Mapping[str, str], *, left_s: float) -> Iterator[requests.Response]:
        """The answer with its body unread; what goes wrong on the wire, also while reading, comes out as ours."""
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            # Refused here: the library's own words would repeat the header, token included.
            raise FixConfiguration(f"{call.what}: the login holds characters that cannot be sent")
        limits = self._timeouts
        silence_s = limits.silence_s if call.silence_s is None else call.silence_s
        with within(left_s + _GRACE_S) as work:
            try:
                with doing(work):
                    response = self._session.request(
                        call.verb,
                        self.host + call.path,
                        params=dict(call.query) or None,
                        json=call.body,
                        data=call.form,
                        headers={"Accept": call.accept},
                        auth=_GivenHeaders(headers),
                        timeout=(
                            max(0.01, min(limits.connect_s, left_s)),
                            max(0.01, min(silence_s, left_s)),
                        ),
                        allow_redirects=False,
                        stream=True,
                        verify=self._ca,  # with each request: an environment variable would win over the session's
                    )
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as problem:
                raise self._lost(call, problem, work) from problem
            try:
                yield response
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as problem:
                raise self._lost(call, problem, work) from problem
            finally:
                response.close()

    def whole(self, call: Call, response: requests.Response, ends_s: float) -> Reply:
        """The answer with its whole body."""
        body = b"".join(self._pieces(call, response, ends_s))
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(status=response.status_code, headers=headers, body=body)

    def lines(self, call: Call, response: requests.Response, ends_s: float) -> Iterator[str]:
        """The body's lines as they come, without their ends; damaged characters are shown as �."""
        cutter = Lines(call.what)
        for piece in self._pieces(call, response, ends_s):
            yield from cutter.feed(piece)
        yield from cutter.end()

    def _pieces(self, call: Call, response: requests.Response, ends_s: float) -> Iterator[bytes]:
        """The body as it comes, unpacked, within bounds."""
        length = response.headers.get("content-length", "")
        read = int(length) if length.isdecimal() and len(length) < 19 else 0
        total, most = 0, self._most_bytes if call.most_bytes is None else call.most_bytes
        while True:
            if max(read, total) > most:
                raise AnswerTooLarge(
                    f"{call.what}: an answer of more than {most / 2**20:g} MiB is not read; ask for less"
                )
            piece: bytes = response.raw.read1(_PIECE, decode_content=True)
            if piece:
                total += len(piece)
                yield piece
            if self._clock.monotonic_s() > ends_s:
                raise _late(call)  # also where it ends now: it may have been cut
            if not piece:
                return

    def _lost(self, call: Call, problem: Exception, work: Work) -> BridgeError | _Again:
        """What a failure of the wire means, by whether the request can have arrived."""
        where = f"{call.what}: {self.host}"
        cause = _innermost(problem)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FixConfiguration(
                f"{where}: its certificate is not trusted: {cause.verify_message}; a proxy that signs anew wants "
                "databricks.ca_certificate"
            )
        if isinstance(problem, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
            return FixConfiguration(f"{where}: this address cannot be used: {_cause(problem)}")
        if _never_left(problem):
            return _Again(WorkspaceDown(f"{where} cannot be reached: {_cause(problem)}"))
        if work.was_cut:
            return _late(call)
        if not call.may_repeat:
            return AnswerLost(
                f"{where}: the request left and no answer came ({_cause(problem)}); it may have happened"
            )
        return _Again(WorkspaceDown(f"{where}: the answer did not come: {_cause(problem)}"))


def _never_left(problem: Exception) -> bool:
    """Whether surely no byte of the request reached the server: there was no connection."""
    if isinstance(problem, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    reason = problem.args[0] if problem.args else None
    if isinstance(reason, urllib3.exceptions.MaxRetryError):
        reason = reason.reason
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def _innermost(problem: BaseException) -> BaseException:
    """The reason below the library's wrappings."""
    seen = problem
    for _ in range(10):
        within = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        below = within if isinstance(within, BaseException) else seen.__cause__ or seen.__context__
        if below is None:
            break
        seen = below
    return seen


def _cause(problem: BaseException) -> str:
    """Why, in a few words, without URL and without objects' addresses."""
    if isinstance(problem, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
        return "silence for too long"
    cause = _innermost(problem)
    return plain(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__)[:200]


def _late(call: Call) -> BridgeError:
    if call.may_repeat:
        return DeadlineExceeded(f"{call.what}: the answer did not come whole in time")
    return AnswerLost(f"{call.what}: the answer did not come whole in time; it may have happened")


class Workspace:
    """A workspace and our login to it: asks, and repeats what may be repeated within the caller's time.

    For any number of threads. Every method raises WorkspaceDown or RateLimited for what may pass, AnswerLost when a
    request that must not be repeated may have happened, AccessDenied for the login, WorkspaceRefused for a refusal,
    NotAWorkspace when something else answers, AnswerTooLarge.
    """

    def __init__(
        self,
        host: str,
        auth: Auth,
        clock: Clock,
        *,
        timeouts: Timeouts = Timeouts(),
        workspace_id: str = "",
        ca_certificate: Path | None = None,
        pause: Callable[[float], None] = time.sleep,
        spread: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """workspace_id: for hosts that several workspaces share; empty for a workspace's own host.

        pause and spread (a random number between two) are for tests.
        """
        self._wire = Wire(host, clock, timeouts=timeouts, ca_certificate=ca_certificate)
        self._auth = auth
        self._clock = clock
        self._routing = {"X-Databricks-Workspace-Id": workspace_id} if workspace_id else {}
        self._pause = pause
        self._spread = spread
        self._threads: ThreadPoolExecutor | None = None
        self._starting = threading.Lock()

    @property
    def host(self) -> str:
        """https://… as it is used."""
        return self._wire.host

    def close(self) -> None:
        """Close connections and threads; a request under way ends in its own time."""
        with self._starting:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        self._wire.close()

    def ask(self, call: Call, *, budget_s: float) -> Answer:
        """Ask, in the thread that calls."""
        ends_s = self._clock.monotonic_s() + budget_s
        attempts = self._attempts(ends_s)
        wait_s, before = next(attempts), None
        while True:
            if wait_s:
                self._pause(wait_s)
            try:
                return self._once(call, ends_s, before)
            except _Again as passing:
                wait_s, before = attempts.send(passing), passing.error

    async def asked(self, call: Call, *, budget_s: float) -> Answer:
        """Ask, in one of a few threads; the waits between attempts hold none.

        A cancelled task's request is cut: its thread is free at once, and holds nobody up who wants to leave.
        """
        ends_s = self._clock.monotonic_s() + budget_s
        attempts = self._attempts(ends_s)
        wait_s, before = next(attempts), None
        while True:
            if wait_s:
                await asyncio.sleep(wait_s)
            loop, work = asyncio.get_running_loop(), Work()
            alarm = loop.call_later(max(0.0, ends_s - self._clock.monotonic_s()) + _GRACE_S, work.cut)
            try:
                return await loop.run_in_executor(self._pool(), self._one, work, call, ends_s, before)
            except _Again as passing:
                wait_s, before = attempts.send(passing), passing.error
            finally:
                alarm.cancel()
                work.cut()  # it is over, or nobody waits for it any more

    def lines(self, call: Call, *, budget_s: float) -> Iterator[str]:
        """Lines of text as they come, without their ends. Repeats only while no answer has begun.

        A stream that breaks off raises as a lost answer does; whether a stream that ends is complete, its own
        protocol has to say.
        """
        ends_s = self._clock.monotonic_s() + budget_s
        attempts = self._attempts(ends_s)
        wait_s, before = next(attempts), None
        while True:
            if wait_s:
                self._pause(wait_s)
            stream = self._lines(call, ends_s, before)
            try:
                first = next(stream, None)
            except _Again as passing:
                wait_s, before = attempts.send(passing), passing.error
                continue
            break
        try:
            while first is not None:
                yield first
                first = next(stream, None)
        except _Again as passing:
            raise passing.error from passing
        finally:
            stream.close()

    def _attempts(self, ends_s: float) -> Generator[float, _Again, None]:
        """How long to wait before each attempt; raises the error that came in when none is left."""
        failed = yield 0.0
        for attempt in range(_MOST_ATTEMPTS - 1):
            if failed.once and attempt > 0:
                break
            ceiling_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
            asked_s = getattr(failed.error, "retry_after_s", None) or 0.0
            wait_s = asked_s + self._spread(0.0, ceiling_s)
            if self._clock.monotonic_s() + wait_s >= ends_s:
                break
            failed = yield wait_s
        raise failed.error from failed

    def _one(self, work: Work, call: Call, ends_s: float, before: BridgeError | None) -> Answer:
        """One attempt that others may cut."""
        try:
            with doing(work):
                return self._once(call, ends_s, before)
        finally:
            work.over()

    def _once(self, call: Call, ends_s: float, before: BridgeError | None) -> Answer:
        """One attempt, with one fresh login when the present one is not accepted any more.

        before: what became of the attempt before it.
        """
        headers = self._login(call, ends_s, before)
        reply = self._wire.send(call, {**headers, **self._routing}, left_s=self._left_s(call, ends_s, before))
        if login_refused(reply) and self._auth.renew(headers, budget_s=self._left_s(call, ends_s, before)):
            headers = self._login(call, ends_s, before)
            reply = self._wire.send(
                call, {**headers, **self._routing}, left_s=self._left_s(call, ends_s, before)
            )
        return self._judged(call, reply)

    def _judged(self, call: Call, reply: Reply) -> Answer:
        try:
            return self._wire.judged(call, reply)
        except AccessDenied as problem:
            raise AccessDenied(f"{problem}; the login comes from {self._auth.source}") from None

    def _login(self, call: Call, ends_s: float, before: BridgeError | None) -> Mapping[str, str]:
        try:
            return self._auth.headers(budget_s=self._left_s(call, ends_s, before))
        except WorkspaceDown as problem:
            raise _Again(problem) from problem  # nothing of the call itself has left

    def _lines(self, call: Call, ends_s: float, before: BridgeError | None) -> Generator[str, None, None]:
        headers = self._login(call, ends_s, before)
        for again in (True, False):
            left_s = self._left_s(call, ends_s, before)
            with self._wire.opened(call, {**headers, **self._routing}, left_s=left_s) as response:
                media_type = response.headers.get("content-type", "")
                if 200 <= response.status_code < 300 and "text/html" not in media_type.lower():
                    yield from self._wire.lines(call, response, ends_s)
                    return
                reply = self._wire.whole(call, response, ends_s)
            if not (again and login_refused(reply)):
                break
            if not self._auth.renew(headers, budget_s=self._left_s(call, ends_s, before)):
                break
            headers = self._login(call, ends_s, before)
        self._judged(call, reply)

    def _left_s(self, call: Call, ends_s: float, before: BridgeError | None) -> float:
        """Time for this attempt; where there is none, the failure `before` it says more than that."""
        left_s = ends_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise before or DeadlineExceeded(f"{call.what}: no time was left to ask")
        return left_s

    def _pool(self) -> ThreadPoolExecutor:
        with self._starting:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="workspace")
            return self._threads
