"""Who we are to the workspace: a personal access token, or a service principal whose tokens are renewed in time."""

from __future__ import annotations

import base64
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from bridge.databricks.azure import AzureKey
from bridge.databricks.call import Call
from bridge.databricks.http import Timeouts, Wire, Workspace
from bridge.databricks.profile import Identity, identity
from bridge.errors import (
    AccessDenied,
    BridgeError,
    FixConfiguration,
    NotAWorkspace,
    WorkspaceDown,
    WorkspaceRefused,
)
from bridge.ports import Clock
from bridge.settings.advisor import AdvisorSettings
from bridge.settings.databricks import DatabricksSettings

_EARLY_S = 300.0  # a token this close to its end is renewed
_EARLY_WAIT_S = 5.0  # longest time that somebody with a good token spends on the next one
_EARLY_AGAIN_S = 30.0  # least time between two such attempts
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """A token that somebody made and that nobody here can renew."""

    token: str = field(repr=False)
    source: str

    def headers(self, *, budget_s: float) -> Mapping[str, str]:
        """See `Auth.headers`."""
        return {"Authorization": f"Bearer {self.token}"}

    def renew(self, refused: Mapping[str, str], *, budget_s: float) -> bool:
        """See `Auth.renew`: there is no other."""
        return False


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    renew_at_s: float
    ends_s: float

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.value}"}


class MachineLogin:
    """A service principal: OAuth machine-to-machine.

    A token's life is counted from the moment we asked for it, on our own steady clock, so that a wrong time of day
    here or there does no harm. One thread fetches it while those who have none wait. It is renewed before its end, by
    one thread and within a few seconds, and while that does not work the old one is used as long as it lives.
    """

    def __init__(self, wire: Wire, client_id: str, client_secret: str, clock: Clock, *, source: str) -> None:
        self.source = source
        self._wire = wire
        self._client_id = client_id
        pair = f"{client_id}:{client_secret}".encode()
        # One request an hour: no connection is kept for it.
        self._headers = {
            "Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}",
            "Connection": "close",
        }
        self._secret = client_secret
        self._clock = clock
        self._turn = threading.Lock()
        self._token: _Token | None = None
        self._late = False
        self._early_again_s = 0.0  # monotonic

    def __repr__(self) -> str:
        return f"MachineLogin(client_id={self._client_id!r}, source={self.source!r})"

    def headers(self, *, budget_s: float) -> Mapping[str, str]:
        """See `Auth.headers`."""
        ends_s = self._clock.monotonic_s() + budget_s
        known = self._token
        if known is not None and self._clock.monotonic_s() < known.ends_s:
            return self._in_good_time(known, budget_s).headers()
        with _Turn(self._turn, budget_s):
            token = self._token
            if token is None or self._clock.monotonic_s() >= token.ends_s:
                token = self._token = self._fetch(ends_s - self._clock.monotonic_s())
            return token.headers()

    def renew(self, refused: Mapping[str, str], *, budget_s: float) -> bool:
        """See `Auth.renew`. Whoever comes second finds the token of the first."""
        ends_s = self._clock.monotonic_s() + budget_s
        with _Turn(self._turn, budget_s):
            if self._token is None or self._token.headers() == refused:
                self._token = None
                self._token = self._fetch(ends_s - self._clock.monotonic_s())
            return True

    def _in_good_time(self, known: _Token, budget_s: float) -> _Token:
        """A token that lives, or the one after it: nobody waits for that longer than a moment, and one at a time."""
        now_s = self._clock.monotonic_s()
        if now_s < max(known.renew_at_s, self._early_again_s) or not self._turn.acquire(blocking=False):
            return known
        try:
            if self._token is known:
                self._token = self._renewed_or(known, min(_EARLY_WAIT_S, budget_s / 2))
            return self._token or known
        finally:
            self._turn.release()

    def _renewed_or(self, old: _Token, budget_s: float) -> _Token:
        try:
            token = self._fetch(budget_s)
        except BridgeError as problem:
            self._early_again_s = self._clock.monotonic_s() + _EARLY_AGAIN_S
            if not self._late:
                self._late = True
                left_s = old.ends_s - self._clock.monotonic_s()
                said = str(problem).replace(self._secret, "•••")
                _log.warning("databricks.token_renewal_failed", error=said, lives_s=round(left_s))
            return old
        if self._late:
            self._late = False
            _log.info("databricks.token_renewed")
        return token

    def _fetch(self, budget_s: float) -> _Token:
        call = Call(
            verb="POST",
            path="/oidc/v1/token",
            form={"grant_type": "client_credentials", "scope": "all-apis"},
            idempotent=True,
            what="OAuth token of the service principal",
        )
        asked_s = self._clock.monotonic_s()
        try:
            answer = self._wire.ask(call, self._headers, left_s=budget_s)
        except (AccessDenied, WorkspaceRefused) as problem:
            if isinstance(problem, WorkspaceRefused) and problem.status == 404:
                raise NotAWorkspace(
                    f"{problem}; is this the workspace's own host?".replace(self._secret, "•••")
                ) from None
            said = str(problem).replace(self._secret, "•••")
            raise AccessDenied(
                f"the workspace refuses client id {self._client_id} with its secret (from {self.source}): {said}"
            ) from None
        value, life_s = answer.get("access_token"), _seconds(answer.get("expires_in"))
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()) or not value:
            raise NotAWorkspace("OAuth token of the service principal: the answer holds no access_token")
        if life_s is None:
            raise NotAWorkspace("OAuth token of the service principal: the answer does not say expires_in")
        early_s = min(_EARLY_S, life_s / 2)
        return _Token(value, renew_at_s=asked_s + life_s - early_s, ends_s=asked_s + life_s)


class _Turn:
    """Holds a lock, and does not wait for it longer than there is time."""

    def __init__(self, lock: threading.Lock, budget_s: float) -> None:
        self._lock = lock
        self._budget_s = budget_s

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=max(0.0, min(self._budget_s, threading.TIMEOUT_MAX))):
            raise WorkspaceDown("OAuth token of the service principal: no token came in time")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _seconds(value: object) -> float | None:
    """A length of time, also where it comes as text; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found > 0 else None


def workspace(
    settings: DatabricksSettings,
    clock: Clock,
    *,
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
    timeouts: Timeouts = Timeouts(),
) -> Workspace:
    """The configured workspace, with the login found for it; nothing is sent yet.

    ConfigError when host or login are missing, or there are two ways to log in. environment, home: for tests.
    """
    found = _identity(settings, environment, home)
    ca = settings.ca_certificate
    return Workspace(
        found.host,
        _auth(found, clock, timeouts, ca),
        clock,
        timeouts=timeouts,
        workspace_id=found.workspace_id,
        ca_certificate=ca,
    )


def login(
    settings: DatabricksSettings, clock: Clock, *, timeouts: Timeouts = Timeouts()
) -> tuple[str, PersonalToken | MachineLogin]:
    """The workspace's host, without https://, and the login found for it, for what speaks another protocol there.

    Nothing is sent yet. ConfigError as with `workspace`.
    """
    found = _identity(settings, None, None)
    return urlsplit(found.host).netloc, _auth(found, clock, timeouts, settings.ca_certificate)


def azure_resource(settings: AdvisorSettings, clock: Clock, *, ca_certificate: Path | None) -> Workspace:
    """The Azure OpenAI resource that the advisor asks, with its key; nothing is sent yet.

    ca_certificate: that of [databricks], for the same proxy stands in the way. ConfigError without a host.
    """
    _there(ca_certificate)
    key = AzureKey(settings.azure_key.get_secret_value())
    return Workspace(settings.azure_host, key, clock, ca_certificate=ca_certificate)


def _there(ca: Path | None) -> None:
    if ca is not None and not ca.is_file():
        raise FixConfiguration(f"databricks.ca_certificate: {ca}: no such file")


def _identity(
    settings: DatabricksSettings, environment: Mapping[str, str] | None, home: Path | None
) -> Identity:
    _there(settings.ca_certificate)
    return identity(
        settings, os.environ if environment is None else environment, Path.home() if home is None else home
    )


def _auth(found: Identity, clock: Clock, timeouts: Timeouts, ca: Path | None) -> PersonalToken | MachineLogin:
    if found.token:
        return PersonalToken(found.token, found.source)
    wire = Wire(found.host, clock, timeouts=timeouts, ca_certificate=ca)
    return MachineLogin(wire, found.client_id, found.client_secret, clock, source=found.source)
