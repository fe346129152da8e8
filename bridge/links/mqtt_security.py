"""TLS to a broker, and what a refusal means in words for a person.

Never a fallback: encrypted and checked, or not at all.
"""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

from bridge.errors import AccessDenied
from bridge.settings.links import BrokerSettings

_HOST_NAME_MISMATCH = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
_EXPIRED = frozenset({9, 10})  # not yet valid, expired
_ABOUT_US = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "UNKNOWN_CA",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "UNSUPPORTED_CERTIFICATE",
    "ACCESS_DENIED",
    "HANDSHAKE_FAILURE",
)
"""Alerts with which a broker turns our certificate down (RFC 8446 §6.2)."""


def tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    """How to encrypt, None for a broker of `mqtt://`. Raises AccessDenied for files that cannot be used."""
    if not settings.tls:
        return None
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)  # checks the host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks as well, and trusts nobody but this one
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(cafile=_readable(settings.ca_certificate))
        except ssl.SSLError as problem:
            raise AccessDenied(
                f"{settings.ca_certificate}: wanted certificates in PEM form: {problem.reason}"
            ) from problem
    if settings.certificate is not None and settings.private_key is not None:
        certificate, key = _readable(settings.certificate), _readable(settings.private_key)
        password = settings.private_key_password.get_secret_value()
        try:
            # A callback: without one OpenSSL asks at the terminal for the password of a locked key.
            context.load_cert_chain(certificate, key, password=lambda: password)
        except (ssl.SSLError, ValueError) as problem:
            raise AccessDenied(
                f"{certificate}, {key}: wanted a certificate and its own key in PEM form, and the "
                f"private_key_password that opens it: {getattr(problem, 'reason', None) or problem}"
            ) from problem
    return context


def in_the_clear(settings: BrokerSettings) -> str | None:
    """What travels unprotected to another machine, or None."""
    if settings.tls or is_loopback(settings.host):
        return None
    what = "user name, password, values and set-points" if settings.username else "values and set-points"
    return (
        f"{settings.broker} is another machine and the connection is not encrypted; {what} travel in the clear; "
        "use mqtts://"
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address never leaves this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refusal(problem: ssl.SSLError) -> str | None:
    """What somebody has to mend after a failed handshake; None when waiting may help."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        if problem.verify_code in _HOST_NAME_MISMATCH:
            return (
                f"the broker's certificate is for another name: {problem.verify_message}; "
                "use the name that stands in it"
            )
        if problem.verify_code in _EXPIRED:
            return f"the broker's certificate is not valid now: {problem.verify_message}"
        return (
            f"the broker's certificate is not trusted: {problem.verify_message}; "
            "ca_certificate must be of whoever signed it"
        )
    if isinstance(problem, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return None
    reason = problem.reason or ""
    if any(alert in reason for alert in _ABOUT_US):
        return (
            f"the broker refuses our certificate, or misses one ({reason}); check certificate and private_key"
        )
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return "what answers there does not speak TLS; use the broker's TLS port (usually 8883)"
    return f"no secure connection: {reason or problem}"


def _readable(path: Path) -> str:
    try:
        with path.open("rb"):
            return str(path)
    except OSError as problem:
        raise AccessDenied(f"{path}: cannot be read: {problem.strerror}") from problem
