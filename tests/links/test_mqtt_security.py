"""Who may talk to a broker and what for: users, rights, certificates, and what refusal looks like."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from mqtt_bench import VERSIONS, Broker, connected, wire_to

from bridge.errors import AccessDenied, BridgeError, LinkDown
from bridge.links.mqtt_message import Message

DYNAMIC_SECURITY = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), Path("missing"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


# --- users and rights ---


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that knows one user, who may read and write below `ours/` only."""
    folder = tmp_path_factory.mktemp("guarded")
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", b"s3cret", salt, 101)
    acls = [
        {"acltype": kind, "topic": "ours/#", "priority": 0, "allow": True}
        for kind in ("publishClientSend", "publishClientReceive", "subscribePattern")
    ]
    config = {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": True,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [
            {
                "username": "bridge",
                "password": base64.b64encode(digest).decode(),
                "salt": base64.b64encode(salt).decode(),
                "iterations": 101,
                "roles": [{"rolename": "bridge"}],
            }
        ],
        "roles": [{"rolename": "bridge", "acls": acls}],
    }
    rights = folder / "rights.json"
    rights.write_text(json.dumps(config), encoding="utf-8")
    broker = Broker(folder, f"plugin {DYNAMIC_SECURITY}", f"plugin_opt_config_file {rights}", anonymous=False)
    broker.start()
    yield broker
    broker.stop()


@VERSIONS
@pytest.mark.parametrize(("username", "password"), [("bridge", "wrong"), ("nobody", "s3cret"), ("", "")])
async def test_a_wrong_user_is_denied_with_words_and_without_the_password(
    guarded: Broker, version: str, username: str, password: str
) -> None:
    with pytest.raises(AccessDenied, match="username") as refusal:
        await wire_to(guarded.url, version=version, username=username, password=password).connect()
    assert "wrong" not in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


@VERSIONS
async def test_a_subscription_that_is_not_granted_is_said_and_the_others_stand(
    guarded: Broker, version: str
) -> None:
    async with connected(guarded.url, version=version, username="bridge", password="s3cret") as wire:
        heard: list[Message] = []
        wire.on_messages = heard.extend
        ours, theirs = await wire.subscribe([("ours/a", 1), ("theirs/a", 1)])
        assert ours == ""
        assert "refuses the subscription" in theirs
        assert "grant" in theirs
        await wire.publish("ours/a", b"x")
        await wire.probe()
        assert [m.topic for m in heard] == ["ours/a"]


async def test_a_publication_that_is_not_granted_is_denied(guarded: Broker) -> None:
    async with connected(guarded.url, username="bridge", password="s3cret") as wire:
        with pytest.raises(AccessDenied, match="theirs/a"):
            await wire.publish("theirs/a", b"x")
        await wire.publish("ours/a", b"x")


async def test_a_lower_qos_than_asked_is_said(brokers: Callable[..., Broker]) -> None:
    broker = brokers(listener="max_qos 0")
    async with connected(broker.url) as wire:
        (lower,) = await wire.subscribe([("a", 1)])
        assert "QoS 0 instead of 1" in lower


# --- TLS ---


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path
    locked: Path


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        own = self._builder(self._name, self._key.public_key(), 30).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now_utc = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now_utc - timedelta(days=60))
            .not_valid_after(now_utc + timedelta(days=days))
        )

    def sign(self, name: str, *others: x509.GeneralName, days: int = 30) -> Signed:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), days
        ).add_extension(x509.SubjectAlternativeName(others or [x509.DNSName(name)]), critical=False)
        found = Signed(
            certificate=self._folder / f"{name}.pem",
            key=self._folder / f"{name}.key",
            locked=self._folder / f"{name}.locked",
        )
        found.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        for file, lock in (
            (found.key, NoEncryption()),
            (found.locked, BestAvailableEncryption(b"open sesame")),
        ):
            file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        return found


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pki")


@pytest.fixture(scope="module")
def authority(pki: Path) -> Authority:
    return Authority(pki, "authority")


@pytest.fixture(scope="module")
def stranger(pki: Path) -> Authority:
    return Authority(pki, "stranger")


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Signed:
    return authority.sign("bridge")


def tls(authority: Authority, signed: Signed) -> tuple[str, ...]:
    return (
        f"cafile {authority.file}",
        f"certfile {signed.certificate}",
        f"keyfile {signed.key}",
        "require_certificate true",
    )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    names = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    broker = Broker(tmp_path_factory.mktemp("secured"), *tls(authority, authority.sign("server", *names)))
    broker.start()
    yield broker
    broker.stop()


def tls_url(broker: Broker) -> str:
    return broker.url.replace("mqtt:", "mqtts:")


async def refused(url: str, **changes: Any) -> str:
    """Connect in vain; the refusal's words. Whatever the broker sends first, it is never a fallback."""
    wire = wire_to(url, **changes)
    with pytest.raises(AccessDenied) as refusal:
        await wire.connect()
    assert not wire.is_open
    return str(refusal.value)


@VERSIONS
async def test_both_sides_show_certificates(
    secured: Broker, authority: Authority, ours: Signed, version: str
) -> None:
    given = {"ca_certificate": authority.file, "certificate": ours.certificate, "version": version}
    async with connected(tls_url(secured), private_key=ours.key, **given) as wire:
        heard: list[Message] = []
        wire.on_messages = heard.extend
        await wire.subscribe([("secret", 1)])
        await wire.publish("secret", bytes(300_000))
        await wire.probe()
        assert [len(m.payload) for m in heard] == [300_000]
    locked = {"private_key": ours.locked, "private_key_password": "open sesame"}
    async with connected(tls_url(secured), **locked, **given) as wire:
        await wire.probe()


async def test_a_broker_signed_by_somebody_else_is_refused(
    secured: Broker, stranger: Authority, ours: Signed
) -> None:
    words = await refused(
        tls_url(secured), ca_certificate=stranger.file, certificate=ours.certificate, private_key=ours.key
    )
    assert "not trusted" in words
    assert "ca_certificate" in words
    words = await refused(tls_url(secured))  # by the system's authorities
    assert "not trusted" in words


async def test_a_broker_with_another_name_is_refused(
    brokers: Callable[..., Broker], authority: Authority, ours: Signed
) -> None:
    broker = brokers(*tls(authority, authority.sign("elsewhere.example")))
    for host in ("127.0.0.1", "localhost"):
        words = await refused(
            tls_url(broker).replace("127.0.0.1", host),
            ca_certificate=authority.file,
            certificate=ours.certificate,
            private_key=ours.key,
        )
        assert "another name" in words


async def test_an_expired_certificate_is_refused(
    brokers: Callable[..., Broker], authority: Authority, ours: Signed
) -> None:
    expired = authority.sign("expired", x509.IPAddress(ipaddress.ip_address("127.0.0.1")), days=-1)
    broker = brokers(*tls(authority, expired))
    words = await refused(
        tls_url(broker), ca_certificate=authority.file, certificate=ours.certificate, private_key=ours.key
    )
    assert "not valid now" in words


async def test_without_a_certificate_of_ours_or_with_a_strangers_we_are_refused(
    secured: Broker, authority: Authority, stranger: Authority
) -> None:
    words = await refused(tls_url(secured), ca_certificate=authority.file)
    assert "refuses our certificate" in words
    theirs = stranger.sign("impostor")
    words = await refused(
        tls_url(secured),
        ca_certificate=authority.file,
        certificate=theirs.certificate,
        private_key=theirs.key,
    )
    assert "refuses our certificate" in words


async def test_tls_never_falls_back(broker: Broker, secured: Broker, authority: Authority) -> None:
    with pytest.raises(BridgeError):
        await wire_to(tls_url(broker), ca_certificate=authority.file).connect()
    with pytest.raises(LinkDown):  # in the clear to a port that wants TLS
        await wire_to(secured.url).connect()


async def test_files_that_cannot_be_used_are_named(authority: Authority, ours: Signed, pki: Path) -> None:
    nonsense = pki / "nonsense.pem"
    nonsense.write_text("not a certificate", encoding="utf-8")
    url = "mqtts://127.0.0.1:1"
    good = {"ca_certificate": authority.file, "certificate": ours.certificate, "private_key": ours.key}
    assert "nonsense" in await refused(url, **{**good, "ca_certificate": nonsense})
    assert "nonsense" in await refused(url, **{**good, "certificate": nonsense})
    assert "private_key_password" in await refused(url, **{**good, "private_key": ours.locked})
    assert "cannot be read" in await refused(url, **{**good, "ca_certificate": pki / "missing.pem"})
    other = authority.sign("other")
    assert "its own key" in await refused(url, **{**good, "private_key": other.key})
