"""Keys and certificates for OPC UA: read from PEM or DER by content, the server's pinned, nothing guessed."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

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
    ours = _certificate(settings.certificate)
    key = _private_key(settings.private_key, settings.private_key_password.get_secret_value())
    if key.public_key() != ours.public_key():
        raise AccessDenied(f"{settings.private_key}: the key does not belong to {settings.certificate}")
    return Identity(
        policy=settings.security,
        certificate=ours.public_bytes(Encoding.DER),
        private_key=key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        server_certificate=_certificate(settings.server_certificate).public_bytes(Encoding.DER),
        application_uri=_application_uri(ours, settings.certificate),
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


def _certificate(path: Path) -> x509.Certificate:
    content = _content(path)
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(content)
    except ValueError as problem:
        raise AccessDenied(f"{path}: wanted an X.509 certificate in PEM or DER form: {problem}") from problem


def _private_key(path: Path, password: str) -> RSAPrivateKey:
    content = _content(path)
    load = (
        serialization.load_pem_private_key if b"-----BEGIN" in content else serialization.load_der_private_key
    )
    try:
        key = load(content, password=password.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        # TypeError: a password for a key without one, or none for a key that has one.
        raise AccessDenied(
            f"{path}: not readable as a private key, or private_key_password does not open it"
        ) from problem
    if not isinstance(key, RSAPrivateKey):
        raise AccessDenied(f"{path}: wanted an RSA key, which is what OPC UA's policies use")
    return key


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise AccessDenied(f"{path}: cannot be read: {problem.strerror}") from problem


def _application_uri(certificate: x509.Certificate, path: Path) -> str:
    """The URI in the certificate; OPC 10000-4 §5.7.2 lets a server refuse a session that names another."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if not uris:
        raise AccessDenied(
            f"{path}: the certificate has no URI in its SubjectAlternativeName; OPC UA wants the application URI there"
        )
    return uris[0]
