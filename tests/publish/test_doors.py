"""Who gets in, over which security, and how slowly somebody who guesses."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import ServiceError
from asyncua.crypto import security_policies
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadUserAccessDenied, UaError, UaStatusCodeError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from publish_stand import Stand, call, node_id, read, standing, text, words
from rig import Hands

from bridge.plant import Plant
from bridge.publish.opcua_sessions import Internals, PublishedSession
from bridge.settings import Settings
from bridge.store.queries import Queries

POLICIES = ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]


def make_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate and its key, as an integrator would make them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now_utc = datetime.now(UTC)
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:test:{name}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now_utc - timedelta(days=1))
        .not_valid_after(now_utc + timedelta(days=30))
        .add_extension(uri, critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.der", folder / f"{name}.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.DER))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("pki")
    return {name: make_pair(folder, name) for name in ("server", "client")}


@pytest.mark.parametrize("policy", POLICIES)
async def test_with_security_an_operator_decides_and_nobody_gets_in_without_it(
    policy: str,
    pairs: dict[str, tuple[Path, Path]],
    settings: Settings,
    plant: Plant,
    named: Queries,
    hands: Hands,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Encrypted sessions work with each policy; a session in the clear, which the library would give, is refused."""
    own, key = pairs["client"]

    async def secure(client: Client) -> None:
        client.application_uri = "urn:test:client"
        await client.set_security(
            getattr(security_policies, f"SecurityPolicy{policy}"),
            certificate=own,
            private_key=key,
            server_certificate=str(pairs["server"][0]),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )

    connect = Client.connect

    async def connect_securely(self: Client) -> Any:
        await secure(self)
        return await connect(self)

    monkeypatch.setattr(Client, "connect", connect_securely)
    certificate, private_key = pairs["server"]
    async with standing(
        settings, plant, named, hands, security=policy, certificate=certificate, private_key=private_key
    ) as stand:
        made = hands.propose()
        await stand.shows("Equipment/REACTOR_01/Recommendation/Id", made)
        digest = await stand.value("Equipment/REACTOR_01/Recommendation/Digest")
        async with stand.client("anna") as anna:
            assert words(await call(anna, "Approve", text(made), text(digest), text("")))[0] == "Good"
        monkeypatch.setattr(Client, "connect", connect)
        # Discovery has to work without security, a session must not.
        bare = Client(stand.endpoint, timeout=20, watchdog_intervall=20)
        endpoints = await bare.connect_and_get_server_endpoints()
        assert {endpoint.SecurityMode for endpoint in endpoints} == {ua.MessageSecurityMode.SignAndEncrypt}
        for user in ("", "anna"):
            with pytest.raises(ServiceError) as refused:
                await _bare_session(stand.endpoint, user)
            assert refused.value.code == StatusCodes.BadSecurityModeRejected


async def _bare_session(endpoint: str, user: str) -> None:
    """Ask for a session over a channel without security, whatever the endpoints say."""
    client = Client(endpoint, timeout=20, watchdog_intervall=20)
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        parameters = ua.CreateSessionParameters(
            ClientDescription=ua.ApplicationDescription(),
            EndpointUrl=ua.String(endpoint),
            SessionName=ua.String(f"bare {user}"),
            ClientNonce=ua.ByteString(b"x" * 32),
            RequestedSessionTimeout=ua.Double(10_000.0),
        )
        await client.uaclient.session.create_session(parameters)
    except UaStatusCodeError as problem:
        raise ServiceError(problem.code) from problem
    finally:
        client.disconnect_socket()


async def test_without_anonymous_nobody_looks_without_a_name(
    settings: Settings, plant: Plant, named: Queries, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """anonymous = false must refuse the session, not only the methods."""
    opened = Stand.client
    monkeypatch.setattr(
        Stand, "client", lambda self, user="viktor", password=None: opened(self, user, password)
    )
    async with standing(settings, plant, named, hands, anonymous=False) as stand:
        assert await stand.value("Agent/Id") == "operations-agent"
        with pytest.raises(UaError):
            async with Client(stand.endpoint, timeout=20, watchdog_intervall=20):
                pass


async def test_a_token_with_nothing_in_it_is_nobody(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user name token that names nobody must not count as anonymous, and a password that is no text is wrong."""
    given: list[tuple[str | None, bytes | None]] = []

    def unusual(self: Client, params: ua.ActivateSessionParameters, *_: object) -> None:
        params.UserIdentityToken = ua.UserNameIdentityToken(PolicyId=ua.String("username"))
        # A null text or null bytes are what is tested.
        params.UserIdentityToken.UserName, params.UserIdentityToken.Password = given[-1]

    monkeypatch.setattr(Client, "_add_user_auth", unusual)
    for token in ((None, None), ("", b""), ("anna", b"\xff\xfe")):
        given.append(token)
        with pytest.raises(UaStatusCodeError) as refused:
            async with stand.client("anna"):
                pass
        assert refused.value.code in (StatusCodes.BadUserAccessDenied, StatusCodes.BadIdentityTokenInvalid)


async def test_nobody_writes_adds_or_registers_anything(stand: Stand) -> None:
    """Values are read-only for everybody, the address space belongs to the bridge, and nothing else is listed."""
    async with stand.client("anna") as anna:
        target = await node_id(anna, "Control/Armed")
        node = anna.get_node(target)
        with pytest.raises(UaError):
            await node.write_value(ua.Variant(False, ua.VariantType.Boolean))
        with pytest.raises(UaError):
            await node.write_attribute(
                AttributeIds.DisplayName, ua.DataValue(ua.Variant(ua.LocalizedText("x")))
            )
        for attribute in (AttributeIds.AccessLevel, AttributeIds.UserAccessLevel):
            level = await node.read_attribute(attribute)
            assert level.Value is not None
            assert level.Value.Value == 1  # CurrentRead alone
        with pytest.raises(UaError):
            await anna.nodes.objects.add_folder(target.NamespaceIndex, "mine")
        with pytest.raises(UaError):
            await anna.delete_nodes([node])
        evil = ua.RegisteredServer(
            ServerUri=ua.String("urn:evil"),
            ServerNames=[ua.LocalizedText("evil")],
            DiscoveryUrls=[ua.String("opc.tcp://evil:4840")],
        )
        with pytest.raises(UaStatusCodeError) as refused:
            await anna.uaclient.register_server(evil)
        assert refused.value.code == StatusCodes.BadServiceUnsupported
        assert [server.ApplicationUri for server in await anna.find_servers()] == [
            "urn:ignition-lakebase-bridge:agent"
        ]
    assert await stand.value("Control/Armed") is True


async def test_a_session_cannot_be_taken_over_by_counting(stand: Stand) -> None:
    """Session tokens must not be neighbours of one's own."""
    async with stand.client("anna") as one, stand.client("anna") as other:
        tokens = [client.uaclient.session.authentication_token for client in (one, other)]
        assert all(isinstance(token.Identifier, bytes) and len(token.Identifier) >= 16 for token in tokens)
        assert tokens[0] != tokens[1]


async def test_sessions_that_nobody_logs_in_to_do_not_pile_up(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask for sessions without an end; a connection has one at a time, beside those logged in to."""
    made: list[PublishedSession] = []
    plain = Internals.create_session

    def create(self: Internals, *given: Any, **named: Any) -> Any:
        session = plain(self, *given, **named)
        assert isinstance(session, PublishedSession)
        made.append(session)
        return session

    def known() -> list[PublishedSession]:
        return [one for one in made if one.iserver.lookup_external_session(one.auth_token) is one]

    def watched() -> int:
        return sum("_session_watchdog_loop" in repr(task.get_coro()) for task in asyncio.all_tasks())

    monkeypatch.setattr(Internals, "create_session", create)
    before = watched()
    client = Client(stand.endpoint, timeout=20)
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        for _ in range(5):
            await client.create_session()
        assert (len(made), known()) == (5, made[4:])
        await client.activate_session()
        for _ in range(3):
            await client.create_session()
        assert known() == [made[4], made[7]]
        assert watched() == before + 1
    finally:
        client.disconnect_socket()


async def test_who_guesses_waits_longer_each_time_and_many_connections_do_not_help(stand: Stand) -> None:
    """Ten guesses at once must take many times as long as one, and values keep flowing meanwhile."""

    async def guess(number: int) -> None:
        with pytest.raises((BadUserAccessDenied, TimeoutError, ConnectionError, asyncio.CancelledError)):
            async with stand.client("anna", f"guess {number}"):
                pass

    began_s = time.monotonic()
    guesses = [asyncio.create_task(guess(number)) for number in range(4)]
    made = stand.hands.propose()
    await stand.shows("Equipment/REACTOR_01/Recommendation/Id", made, 2.0)
    assert not all(one.done() for one in guesses), "shown only when the guesses were over"
    await asyncio.gather(*guesses)
    assert time.monotonic() - began_s > 0.5 + 1.0 + 2.0  # before the second, third and fourth answer
    async with stand.client("anna") as anna:  # late, but let in
        assert (await read(anna, "Agent/Id")).Value is not None


async def test_garbage_at_the_door_does_no_harm(stand: Stand) -> None:
    """Bytes that are no OPC UA, a message that never ends, and a connection that says nothing."""
    host, port = "127.0.0.1", int(stand.endpoint.rsplit(":", 1)[1].split("/")[0])
    for rubbish in (
        b"GET / HTTP/1.1\r\n\r\n" * 50,
        b"\x00" * 5000,
        b"HELF\xff\xff\xff\x7f" + b"x" * 3_000_000,
    ):
        _reader, writer = await asyncio.open_connection(host, port)
        writer.write(rubbish)
        try:
            async with asyncio.timeout(5):
                await writer.drain()
        except (ConnectionError, TimeoutError):
            pass
        writer.close()
    made = stand.hands.propose()
    await stand.shows("Equipment/REACTOR_01/Recommendation/Id", made, 2.0)
