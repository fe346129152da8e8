"""Keys and certificates for OPC UA: read from PEM or DER by content, the server's pinned, nothing guessed."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.certificates import application_uri, read_certificate, read_pair
from bridge.errors import AccessDenied
from bridge.settings import OpcUaLinkSettings

APPLICATION_URI_WITHOUT_CERTIFICATE = "urn:ignition-lakebase-bridge"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Identity:
    """Our key pair and the one server we talk to, all as DER; never printed."""

    policy: str
    certificate: bytes
    private_key: bytes
    server_certificate: bytes
    application_uri: str


def identity(settings: OpcUaLinkSettings) -> Identity | None:
    """Read the files that `settings` names; None when security is none.

    Raises AccessDenied with the file's name when one is unreadable or does not belong to the others.
    """
    if settings.security == "none":
        return None
    if settings.certificate is None or settings.private_key is None or settings.server_certificate is None:
        raise AccessDenied(
            f"security {settings.security} wants certificate, private_key and server_certificate"
        )
    ours, key = read_pair(
        settings.certificate, settings.private_key, settings.private_key_password.get_secret_value()
    )
    return Identity(
        policy=settings.security,
        certificate=ours.public_bytes(Encoding.DER),
        private_key=key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        server_certificate=read_certificate(settings.server_certificate).public_bytes(Encoding.DER),
        application_uri=application_uri(ours, settings.certificate),
    )


def thumbprint(der: bytes) -> str:
    """SHA-1 of a certificate in hexadecimal, which is what OPC UA servers show in their trust lists.

    Of a chain, the first one's. For people to compare; nothing relies on it.
    """
    first = der[: int.from_bytes(der[2:4], "big") + 4]  # DER: a sequence with its length in two bytes
    return hashlib.sha1(first, usedforsecurity=False).hexdigest()


def is_loopback(endpoint: str) -> bool:
    """True when the endpoint's host is this machine."""
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
