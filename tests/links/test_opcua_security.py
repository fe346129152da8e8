"""Who may talk to whom: certificates, the pinned server, passwords, and what refusal looks like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua.client.client import Client
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from link_bench import CONSTANT, NAMESPACE, TARGET, PlantProcess, SystemClock, counters, watched

from bridge.errors import AccessDenied
from bridge.links import opcua
from bridge.links.opcua import OpcUaLink
from bridge.links.opcua_security import identity
from bridge.ports import WriteResult
from bridge.settings import OpcUaLinkSettings

Start = Callable[..., PlantProcess]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, on disk in both forms; the names say nothing about the form."""

    pem: Path
    der: Path
    key_pem: Path
    key_der: Path
    key_locked: Path


def make_pair(folder: Path, name: str, uri: str) -> Pair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now_utc = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now_utc - timedelta(days=1))
        .not_valid_after(now_utc + timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=True,
                key_encipherment=True,
                data_encipherment=True,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )

    def locked(encoding: Encoding, lock: KeySerializationEncryption) -> bytes:
        return key.private_bytes(encoding, PrivateFormat.PKCS8, lock)

    def write(ending: str, content: bytes) -> Path:
        path = folder / f"{name}.{ending}"
        path.write_bytes(content)
        return path

    return Pair(
        pem=write("crt", certificate.public_bytes(Encoding.PEM)),
        der=write("cer", certificate.public_bytes(Encoding.DER)),
        key_pem=write("key", locked(Encoding.PEM, NoEncryption())),
        key_der=write("bin", locked(Encoding.DER, NoEncryption())),
        key_locked=write("locked", locked(Encoding.PEM, BestAvailableEncryption(b"open sesame"))),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pki")


@pytest.fixture(scope="module")
def ours(folder: Path) -> Pair:
    return make_pair(folder, "bridge", "urn:test:bridge")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Pair:
    return make_pair(folder, "server", "urn:test:server")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Pair:
    return make_pair(folder, "stranger", "urn:test:stranger")


def trusting(folder: Path, pair: Pair) -> Path:
    trust = folder / f"trust-{pair.pem.stem}"
    trust.mkdir(exist_ok=True)
    (trust / "client.der").write_bytes(pair.der.read_bytes())
    return trust


def server_arguments(theirs: Pair, *more: str) -> tuple[str, ...]:
    as_pem = theirs.pem.with_suffix(".pem")
    as_pem.write_bytes(theirs.pem.read_bytes())
    key = theirs.key_pem.with_name("server_key.pem")
    key.write_bytes(theirs.key_pem.read_bytes())
    return ("--certificate", str(as_pem), "--key", str(key), *more)


def link_to(plant: PlantProcess, **changes: object) -> OpcUaLink:
    given = {
        "endpoint": plant.endpoint,
        "namespace": NAMESPACE,
        "publishing_ms": 50,
        "deadline_s": 1.5,
        **changes,
    }
    return OpcUaLink("plant", OpcUaLinkSettings.model_validate(given), (CONSTANT, TARGET), SystemClock())


def secured(ours: Pair, theirs: Pair, **changes: object) -> dict[str, object]:
    return {
        "security": "Basic256Sha256",
        "certificate": ours.pem,
        "private_key": ours.key_pem,
        "server_certificate": theirs.der,
        **changes,
    }


async def denied(link: OpcUaLink) -> None:
    """Run a link that should give up by itself."""
    async with asyncio.timeout(30):
        await link.run()


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"])
async def test_each_policy_signs_encrypts_and_survives_a_restart(
    plants: Start, folder: Path, ours: Pair, theirs: Pair, policy: str
) -> None:
    trust = str(trusting(folder, ours))
    plant = plants(*server_arguments(theirs, "--policy", policy, "--trust", trust, "--user", "agent:s3cret"))
    link = link_to(plant, **secured(ours, theirs, security=policy, username="agent", password="s3cret"))
    assert await link.check() == []
    async with watched(link) as watching:
        await watching.until_flowing()
        (outcome,) = await link.write([(TARGET, 12.5)], deadline_s=20)
        assert outcome.result is WriteResult.ACCEPTED
        plant.kill()
        await watching.until_down()
        await plant.started()
        await watching.until_flowing()


async def test_a_secure_channel_is_renewed_before_it_ends(
    plants: Start, ours: Pair, theirs: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals: list[bool] = []

    class ShortLived(Client):
        def __init__(self, *given: object, **named: object) -> None:
            super().__init__(*given, **named)  # type: ignore[arg-type]
            self.secure_channel_timeout = 4_000  # shorter ones end before our half-second tick renews them

        async def open_secure_channel(self, renew: bool = False) -> None:
            renewals.append(renew)
            await super().open_secure_channel(renew)

    monkeypatch.setattr(opcua, "Client", ShortLived)
    plant = plants(*server_arguments(theirs), "--counters", "3", "--rate", "60")
    link = OpcUaLink(
        "plant",
        OpcUaLinkSettings.model_validate(
            {"endpoint": plant.endpoint, "namespace": NAMESPACE, **secured(ours, theirs)}
        ),
        counters(3),
        SystemClock(),
    )
    async with watched(link) as watching:
        await watching.until_flowing()
        await watching.until(lambda: renewals.count(True) >= 2)
        await watching.until_new(counters(3))
        assert watching.status.reconnects == 0


async def test_der_files_and_a_locked_key_are_told_by_content(ours: Pair, theirs: Pair) -> None:
    def loaded(**changes: object) -> object:
        given = {"endpoint": "opc.tcp://localhost:1", **secured(ours, theirs, **changes)}
        found = identity(OpcUaLinkSettings.model_validate(given))
        assert found is not None
        return (found.certificate, found.private_key, found.server_certificate, found.application_uri)

    plain = loaded()
    assert loaded(certificate=ours.der, private_key=ours.key_der, server_certificate=theirs.pem) == plain
    assert loaded(private_key=ours.key_locked, private_key_password="open sesame") == plain
    with pytest.raises(AccessDenied, match="private_key_password"):
        loaded(private_key=ours.key_locked)
    with pytest.raises(AccessDenied, match="does not belong"):
        loaded(private_key=theirs.key_pem)
    with pytest.raises(AccessDenied, match="cannot be read"):
        loaded(certificate=Path("/nowhere.pem"))
    with pytest.raises(AccessDenied, match="X\\.509"):
        loaded(certificate=ours.key_pem)


def test_the_application_uri_is_the_certificates(ours: Pair, theirs: Pair) -> None:
    given = {"endpoint": "opc.tcp://localhost:1", **secured(ours, theirs)}
    found = identity(OpcUaLinkSettings.model_validate(given))
    assert found is not None
    assert found.application_uri == "urn:test:bridge"
    assert "PRIVATE" not in repr(found)
    assert len(repr(found)) < 100, "a key is never printed"


async def test_another_server_than_the_pinned_one_gets_no_credentials(
    plants: Start, ours: Pair, theirs: Pair, stranger: Pair
) -> None:
    plant = plants(*server_arguments(theirs, "--user", "agent:s3cret"))
    link = link_to(plant, **secured(ours, stranger, username="agent", password="s3cret"))
    with pytest.raises(AccessDenied, match="server_certificate"):
        await denied(link)
    with pytest.raises(AccessDenied):
        await link.check()


async def test_a_certificate_the_server_does_not_trust_is_said_so(
    plants: Start, folder: Path, ours: Pair, theirs: Pair, stranger: Pair
) -> None:
    plant = plants(*server_arguments(theirs, "--trust", str(trusting(folder, stranger))))
    with pytest.raises(AccessDenied, match="trust ours on the server"):
        await denied(link_to(plant, **secured(ours, theirs)))


async def test_security_never_falls_back(plants: Start, ours: Pair, theirs: Pair) -> None:
    plant = plants()  # speaks in the clear only
    with pytest.raises(AccessDenied):
        await denied(link_to(plant, **secured(ours, theirs)))


async def test_a_wrong_password_ends_run_with_words(plants: Start) -> None:
    plant = plants("--user", "agent:s3cret")
    with pytest.raises(AccessDenied, match="username or password") as refusal:
        await denied(link_to(plant, username="agent", password="wrong"))
    assert "wrong" not in str(refusal.value), "a password is never shown"
    with pytest.raises(AccessDenied):
        await denied(link_to(plant))  # anonymous
    async with watched(link_to(plant, username="agent", password="s3cret")) as watching:
        await watching.until_flowing()
