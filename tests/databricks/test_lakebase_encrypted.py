"""Encryption on the way to Lakebase: whose certificate is trusted, and what an untrusted one is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bridge.errors import FixConfiguration
from bridge.settings import Settings
from bridge.storage import database
from simulator.workspace.process import WorkspaceProcess


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def workspace(fresh_database: Callable[..., str], folder: Path) -> Iterator[WorkspaceProcess]:
    """A Lakebase that lets nobody in without encryption."""
    with WorkspaceProcess.start(
        "--database", fresh_database(), "--no-warehouse", "--lakebase-tls", str(folder)
    ) as started:
        yield started


def settings(workspace: WorkspaceProcess, **lakebase: object) -> Settings:
    there = workspace.ready["lakebase"]
    return Settings.model_validate(
        {
            "store": {"kind": "lakebase"},
            "databricks": {
                "host": workspace.host,
                "token": workspace.token,
                "lakebase": {
                    "endpoint": there["endpoint"],
                    "port": there["port"],
                    "schema": "public",
                    **lakebase,
                },
            },
        }
    )


async def test_a_certificate_is_verified_where_its_authority_is_given(
    workspace: WorkspaceProcess, folder: Path
) -> None:
    made = database(settings(workspace, ca_certificate=folder / "certificate.pem"), None)
    await made.open()
    async with made.session("look") as connection:
        assert connection.pgconn.ssl_in_use
    await made.close()


async def test_without_an_authority_it_is_encrypted_all_the_same(workspace: WorkspaceProcess) -> None:
    made = database(settings(workspace), None)
    await made.open()
    async with made.session("look") as connection:
        assert connection.pgconn.ssl_in_use
    await made.close()


async def test_another_authority_is_refused_by_name(workspace: WorkspaceProcess, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody else")])
    other = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "other.pem"
    file.write_bytes(other.public_bytes(Encoding.PEM))
    made = database(settings(workspace, ca_certificate=file), None)
    with pytest.raises(
        FixConfiguration, match=r"certificate is not trusted: .*databricks\.lakebase\.ca_certificate"
    ):
        await made.open()
    await made.close()
