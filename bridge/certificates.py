"""Keys and certificates in files: PEM or DER by content, and an error that names the file."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bridge.errors import AccessDenied


def read_certificate(path: Path) -> x509.Certificate:
    """The certificate in a file; AccessDenied when there is none that can be read."""
    content = _content(path)
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(content)
    except ValueError as problem:
        raise AccessDenied(f"{path}: wanted an X.509 certificate in PEM or DER form: {problem}") from problem


def read_private_key(path: Path, password: str | None = None) -> RSAPrivateKey:
    """The RSA key in a file, opened with `password` if it has one; AccessDenied when that does not work.

    None: there is no setting for a password, and the key has to do without.
    """
    content = _content(path)
    load = (
        serialization.load_pem_private_key if b"-----BEGIN" in content else serialization.load_der_private_key
    )
    try:
        key = load(content, password=(password or "").encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        # TypeError: a password for a key without one, or none for a key that has one.
        what = (
            "wanted one without a password"
            if password is None
            else "or private_key_password does not open it"
        )
        raise AccessDenied(f"{path}: not readable as a private key, {what}") from problem
    if not isinstance(key, RSAPrivateKey):
        raise AccessDenied(f"{path}: wanted an RSA key, which is what OPC UA's policies use")
    return key


def read_pair(
    certificate: Path, private_key: Path, password: str | None = None
) -> tuple[x509.Certificate, RSAPrivateKey]:
    """A certificate and the key that belongs to it; AccessDenied when it does not."""
    ours = read_certificate(certificate)
    key = read_private_key(private_key, password)
    if key.public_key() != ours.public_key():
        raise AccessDenied(f"{private_key}: the key does not belong to {certificate}")
    return ours, key


def application_uri(certificate: x509.Certificate, path: Path) -> str:
    """The URI in the certificate; OPC 10000-4 §5.7.2 lets the other side refuse a session that names another."""
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


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise AccessDenied(f"{path}: cannot be read: {problem.strerror}") from problem
