"""The Databricks workspace, and Lakebase in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from bridge.settings.base import Section

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST_NAME = re.compile(r"^[A-Za-z0-9.:\[\]-]+$")


def is_loopback(host: str) -> bool:
    """Whether this host name means this machine."""
    return host.strip("[]").lower() in _LOOPBACK


def workspace_host(text: str) -> str:
    """A workspace's address in one form: https://name, or http://127.0.0.1:port for a simulated one.

    A bare name gets its https://. ValueError says what was wanted.
    """
    given = text.strip()
    wanted = "wanted https://<the workspace's own host name> and nothing behind it"
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        port = parts.port
    except ValueError:
        raise ValueError(f"host: {wanted}, found an address that cannot be read") from None
    if parts.username or parts.password:
        raise ValueError(f"host: {wanted}; a login does not belong into it")
    if not parts.hostname or not _HOST_NAME.match(parts.netloc) or port == 0:
        raise ValueError(f"host: {wanted}, found {given!r}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        behind = "; the number after ?o= is `workspace_id`" if "o=" in parts.query else ""
        raise ValueError(f"host: {wanted}, found {given!r}{behind}")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"host: {wanted}; http:// would send the token in the clear and is for this machine alone, found {given!r}"
        )
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"host: {wanted}, found {given!r}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _host_or_none(text: str) -> str:
    return workspace_host(text) if text else ""


_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ENDPOINT = re.compile(rf"^projects/{_NAME}/branches/{_NAME}/endpoints/{_NAME}$")


def _endpoint_or_none(text: str) -> str:
    if text and not _ENDPOINT.match(text):
        raise ValueError(
            "wanted projects/<project>/branches/<branch>/endpoints/<endpoint>, the name of an endpoint; "
            "the name of a project, branch or database is not enough for a credential"
        )
    return text


class LakebaseSettings(Section):
    """A Lakebase database, for store.kind = "lakebase".

    endpoint: "projects/p/branches/b/endpoints/e" (Autoscaling), or instance: the name of a Provisioned one; where it
    listens is asked of the workspace. database: the PostgreSQL database. schema: where the bridge's tables are, made
    by `db migrate` and owned by whoever runs it. user: whom to log in as; empty means the identity of the workspace
    login. password: of a role with a native PostgreSQL password; empty means a fresh credential of the workspace for
    each new connection. host: overrules what the workspace says, for a proxy on the way; with a password the
    workspace is then not asked at all. ttl_s: life of a credential, which counts at login only. ca_certificate: who
    signed the server's certificate; given, it is verified, host name and all; without it the connection is encrypted,
    and the server's name is taken on trust.
    """

    endpoint: Annotated[str, AfterValidator(_endpoint_or_none)] = ""
    instance: Annotated[str, Field(pattern=rf"^({_NAME})?$", max_length=63)] = ""
    database: Annotated[str, Field(min_length=1, max_length=63)] = "databricks_postgres"
    schema_name: Annotated[str, Field(alias="schema", pattern=r"^[a-z_][a-z0-9_]*$", max_length=63)] = (
        "bridge"
    )
    user: Annotated[str, Field(max_length=255)] = ""
    password: SecretStr = SecretStr("")
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]*$", max_length=255)] = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    ttl_s: Annotated[int, Field(ge=300, le=3600)] = 3600
    ca_certificate: Path | None = None

    @property
    def by_itself(self) -> bool:
        """Whether host, user and password are all given, so that the workspace is not asked at all."""
        return bool(self.host and self.password.get_secret_value())

    @model_validator(mode="after")
    def _says_where_and_who(self) -> Self:
        if self.endpoint and self.instance:
            raise ValueError(
                "endpoint (Autoscaling) and instance (Provisioned) are two products; give one of them"
            )
        native = bool(self.password.get_secret_value())
        if not (self.endpoint or self.instance or (self.host and native)):
            raise ValueError(
                'wanted endpoint = "projects/<project>/branches/<branch>/endpoints/<endpoint>" '
                "(or instance = a Provisioned one's name; or host, user and password of a native role)"
            )
        if native and not self.user:
            raise ValueError("a password wants a user as well: the native PostgreSQL role it belongs to")
        return self


class DatabricksSettings(Section):
    """The workspace and our login to it.

    host: https://… of the workspace alone. token: a personal access token; client_id and client_secret: a service
    principal's OAuth secret; one of the two ways. What is not given here comes from DATABRICKS_HOST, DATABRICKS_TOKEN,
    DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET, DATABRICKS_WORKSPACE_ID and DATABRICKS_CONFIG_PROFILE, then from
    config_file (empty: DATABRICKS_CONFIG_FILE, then ~/.databrickscfg): section `profile`, else its own default
    profile, else [DEFAULT]; without a profile named, the file is not read when host or login are given already.
    workspace_id: only for hosts that several workspaces share. ca_certificate: PEM, for a proxy that signs anew.
    """

    host: Annotated[str, AfterValidator(_host_or_none)] = ""
    profile: Annotated[str, Field(max_length=255)] = ""
    config_file: Path | None = None
    token: SecretStr = SecretStr("")
    client_id: Annotated[str, Field(max_length=255)] = ""
    client_secret: SecretStr = SecretStr("")
    workspace_id: Annotated[str, Field(pattern=r"^\d*$", max_length=32)] = ""
    ca_certificate: Path | None = None
    lakebase: LakebaseSettings | None = None
