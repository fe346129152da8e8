"""What can be known of the published OPC UA server before it runs, in words for whoever configures it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from bridge.certificates import application_uri, read_pair
from bridge.errors import BridgeError, FixConfiguration, PortTaken
from bridge.publish.decisions import AGENT_NAMED
from bridge.publish.endpoint import bind
from bridge.publish.passwords import is_hash
from bridge.settings import PublishOpcUaSettings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing that is not as it should be. `serious`: the server cannot do its work like this."""

    subject: str
    problem: str
    advice: str = ""
    serious: bool = True


def examine(settings: PublishOpcUaSettings, *, agent_id: str, operator_url_given: bool) -> list[Remark]:
    """Everything that is wrong with `[publish.opcua]`; empty when it can start and decide as configured."""
    return [
        *_endpoint(settings),
        *_certificates(settings),
        *_users(settings, agent_id, operator_url_given),
    ]


def _endpoint(settings: PublishOpcUaSettings) -> Iterator[Remark]:
    subject = "publish.opcua.endpoint"
    try:
        bind(settings.endpoint).close()
    except PortTaken as problem:
        yield Remark(
            subject=subject, problem=str(problem), advice="all is well if it is this bridge", serious=False
        )
    except FixConfiguration as problem:
        yield Remark(subject=subject, problem=str(problem))
    host = urlsplit(settings.endpoint).hostname or ""
    if settings.security == "none" and host not in _LOOPBACK:
        yield Remark(
            subject=subject,
            problem=f"whoever reaches {host} reads everything, and nothing is encrypted",
            advice="choose a security policy, or 127.0.0.1",
            serious=False,
        )


def _certificates(settings: PublishOpcUaSettings) -> Iterator[Remark]:
    if settings.certificate is None or settings.private_key is None:
        return
    subject = "publish.opcua.certificate"
    try:
        certificate, _ = read_pair(settings.certificate, settings.private_key)
        application_uri(certificate, settings.certificate)
    except BridgeError as problem:
        yield Remark(subject=subject, problem=str(problem))
        return
    ends_utc, now_utc = certificate.not_valid_after_utc, datetime.now(UTC)
    if ends_utc < now_utc + _RENEW_BEFORE:
        over = ends_utc < now_utc
        yield Remark(
            subject=subject,
            problem=f"{settings.certificate}: {'ended' if over else 'ends'} on {ends_utc:%Y-%m-%d}",
            advice="make a new one, and let the clients trust it",
            serious=over,
        )


def _users(settings: PublishOpcUaSettings, agent_id: str, operator_url_given: bool) -> Iterator[Remark]:
    for name, user in settings.users.items():
        subject = f"publish.opcua.users.{name}"
        if not is_hash(user.password_hash.get_secret_value()):
            yield Remark(
                subject=f"{subject}.password_hash",
                problem="this is no password hash",
                advice="put in the line that `ignition-bridge publish password` prints",
            )
        if name.strip().casefold() == agent_id.strip().casefold():
            yield Remark(subject=subject, problem=AGENT_NAMED)
    operators = [name for name, user in settings.users.items() if user.role == "operator"]
    if not settings.users and not settings.anonymous:
        yield Remark(
            subject="publish.opcua", problem="nobody may log in", advice="name users, or set anonymous = true"
        )
    elif not operators:
        yield Remark(
            subject="publish.opcua.users",
            problem="no user has the role operator, so nobody can decide over OPC UA",
            advice="all is well if that is meant",
            serious=False,
        )
    elif not operator_url_given:
        yield Remark(
            subject="store.operator_url",
            problem="is not given, so decisions over OPC UA use the agent's own login",
            advice="give a login that is a member of bridge_operator alone (BRIDGE_STORE__OPERATOR_URL)",
            serious=False,
        )
