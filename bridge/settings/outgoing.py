"""Where readings wait while the database is away, and where the agent's tables are shown as tags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from bridge.settings.base import Positive, Section
from bridge.settings.links import BrokerSettings, SparkplugId


class BufferSettings(Section):
    """Where readings wait while the database is away.

    dir: a folder of ours alone. max_bytes, max_age_s: how much and how long; when either is exceeded,
    when_full says what goes, and it is counted: drop_oldest keeps the newest, refuse_newest the oldest.
    Age is time in which a bridge ran: a clock that is wrong, or a machine that was off, makes nothing old.
    """

    dir: Path = Path("buffer")
    max_bytes: Annotated[int, Field(ge=2**20)] = 10**9
    max_age_s: Positive = 86_400.0
    when_full: Literal["drop_oldest", "refuse_newest"] = "drop_oldest"


UserName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\w[^\x00-\x1f\x7f]*$")]
"""A person's name, as decisions are recorded under it: begins with a letter or a digit, and is one line."""


class PublishUserSettings(Section):
    """Somebody who may log in at the published OPC UA server.

    password_hash: as `ignition-bridge publish password` prints it; never the password itself. role:
    operator may call Approve, Reject and Defer; viewer may look.
    """

    password_hash: SecretStr
    role: Literal["operator", "viewer"] = "viewer"


class PublishOpcUaSettings(Section):
    """The agent's tables as an OPC UA server.

    endpoint: where it listens. security: none only on loopback. certificate, private_key: ours, PEM or DER.
    anonymous: whether sessions without a user may look; they can never decide.
    users: by name, under which decisions are recorded.
    """

    endpoint: Annotated[str, Field(pattern=r"^opc\.tcp://[^/\s]+(/.*)?$")] = "opc.tcp://127.0.0.1:4850/agent"
    security: Literal["none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = "none"
    certificate: Path | None = None
    private_key: Path | None = None
    anonymous: bool = True
    users: dict[UserName, PublishUserSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _security_is_whole(self) -> Self:
        if self.security != "none" and (self.certificate is None or self.private_key is None):
            raise ValueError(f"security {self.security} wants certificate and private_key as well")
        host = self.endpoint.split("//")[1].split("/")[0].rpartition(":")[0]
        if self.security == "none" and self.users and host not in ("127.0.0.1", "localhost", "[::1]"):
            raise ValueError(
                f"users would send their passwords in the clear to {host}; choose a security policy, or 127.0.0.1"
            )
        return self


class PublishSparkplugSettings(BrokerSettings):
    """The agent's tables as a Sparkplug edge node.

    group, node: its ids. primary_host: wait for this host's STATE, as the specification wants where one is
    named; empty means births go out at once. outbox: file in which changes wait for the broker.
    """

    group: SparkplugId
    node: SparkplugId = "lakebase-agent"
    primary_host: str = ""
    outbox: Path = Path("buffer/outbox.sqlite")
    outbox_max_bytes: Annotated[int, Field(ge=2**20)] = 10**8


class PublishSettings(Section):
    """Where the agent's tables are shown as tags; a part left out is not started. refresh_s: safety net."""

    opcua: PublishOpcUaSettings | None = None
    sparkplug: PublishSparkplugSettings | None = None
    refresh_s: Positive = 5.0
