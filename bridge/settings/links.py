"""Wires to the plant: one section per link."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from bridge.settings.base import Positive, Section


class OpcUaLinkSettings(Section):
    """One OPC UA server.

    namespace: URI that `address` entries without their own `nsu=` belong to. publishing_ms,
    sampling_ms: asked of the server; what it grants is logged when it differs. queue_size: values the
    server keeps per item between two publishes (0: as many as fit publishing ÷ sampling, at least 10).
    security: none, or a policy with SignAndEncrypt, never a silent fallback. certificate, private_key:
    ours, PEM or DER. server_certificate: the pinned server. deadline_s: our own limit on each call.
    reconnect_max_s: longest wait between two attempts. refresh_s: a wanted tag that was silent this long
    is read on purpose.
    """

    kind: Literal["opcua"] = "opcua"
    endpoint: Annotated[str, Field(pattern=r"^opc\.tcp://[^/\s]+(/.*)?$")]
    namespace: str = ""
    publishing_ms: Positive = 100.0
    sampling_ms: Annotated[float, Field(ge=-1, allow_inf_nan=False)] = 0.0
    queue_size: Annotated[int, Field(ge=0, le=10_000)] = 0
    security: Literal["none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = "none"
    certificate: Path | None = None
    private_key: Path | None = None
    private_key_password: SecretStr = SecretStr("")
    server_certificate: Path | None = None
    username: str = ""
    password: SecretStr = SecretStr("")
    deadline_s: Positive = 3.0
    reconnect_max_s: Positive = 2.0
    refresh_s: Positive = 10.0
    buffer_values: Annotated[int, Field(ge=1000)] = 200_000

    @model_validator(mode="after")
    def _security_is_whole(self) -> Self:
        if self.security != "none":
            missing = [
                name
                for name in ("certificate", "private_key", "server_certificate")
                if getattr(self, name) is None
            ]
            if missing:
                raise ValueError(f"security {self.security} wants {', '.join(missing)} as well")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password belong together; give both or neither")
        return self


class GatewayLinkSettings(Section):
    """Commands that Ignition's own timer script executes; the bridge watches and never sends."""

    kind: Literal["gateway"] = "gateway"


class BrokerSettings(Section):
    """A connection to an MQTT broker.

    broker: `mqtts://host[:port]` (TLS; 8883) or `mqtt://host[:port]` (in the clear; 1883). version: of MQTT.
    client_id: unique at the broker; empty means one made of host name and link name. ca_certificate: who
    signed the broker's certificate, empty means the system's authorities; certificate, private_key: ours,
    PEM. keepalive_s: silence after which either side asks. deadline_s: our own limit on each step.
    reconnect_max_s: longest wait between two attempts. refresh_s: a wanted tag that was silent this long is
    looked at on purpose. buffer_values: readings that may wait for the agent; then the oldest are dropped
    and counted. max_message_bytes: a longer message is refused unread and counted.
    """

    broker: Annotated[str, Field(pattern=r"^mqtts?://[^/\s:@]+(:\d{1,5})?$")]
    version: Literal["5", "3.1.1"] = "5"
    client_id: Annotated[str, Field(max_length=128)] = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_certificate: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    private_key_password: SecretStr = SecretStr("")
    keepalive_s: Annotated[int, Field(ge=1, le=600)] = 5
    deadline_s: Positive = 3.0
    reconnect_max_s: Positive = 2.0
    refresh_s: Positive = 10.0
    buffer_values: Annotated[int, Field(ge=1000)] = 200_000
    max_message_bytes: Annotated[int, Field(ge=1024, le=268_435_455)] = 4 * 2**20

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.broker.startswith("mqtts:")

    @property
    def host(self) -> str:
        """Where the broker is."""
        return self.broker.split("//")[1].split(":")[0]

    @property
    def port(self) -> int:
        """The broker's port; the protocol's own where none is given."""
        _, _, port = self.broker.split("//")[1].partition(":")
        return int(port) if port else (8883 if self.tls else 1883)

    @model_validator(mode="after")
    def _connection_is_whole(self) -> Self:
        if not 1 <= self.port <= 65535:
            raise ValueError(f"broker: wanted a port from 1 to 65535, found {self.port}")
        if self.password.get_secret_value() and not self.username:
            raise ValueError("a password wants a username as well")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key belong together; give both or neither")
        if not self.tls and (self.ca_certificate or self.certificate):
            raise ValueError(
                "certificates want a broker of mqtts://; mqtt:// would send everything in the clear"
            )
        return self


SparkplugId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^/+#\x00]+$")]


class SparkplugLinkSettings(BrokerSettings):
    """Sparkplug B edge nodes behind a broker, with this bridge as a host application.

    Addresses are `group/node[/device]:Metric/Name`. host_id: our name in `spBv1.0/STATE/…`. primary: publish
    that state; edge nodes that name us as their primary host go silent without it. reorder_ms: how long a
    message missing from a node's sequence may still come before a rebirth is asked for. rebirth_every_s:
    least time between two such requests to one node.
    """

    kind: Literal["sparkplug"] = "sparkplug"
    host_id: SparkplugId
    primary: bool = True
    reorder_ms: Positive = 2000.0
    rebirth_every_s: Positive = 10.0


LEAST_REMEMBERED = 100_000
"""So many readings, at least, are known again when a source delivers them a second time."""


class MqttLinkSettings(BrokerSettings):
    """Plain topics behind a broker.

    Addresses are `topic` or `topic#path.in.json`. payload: raw is the bare value as text. persistent: the
    broker keeps our session for session_expiry_s, and a message is acknowledged only when its readings are on
    durable storage (wants client_id and qos 1). That session is for storage alone; a second, clean one, with
    `-live` after the client_id, is for present values and commands, so the broker has to let both in. What a
    broker keeps for us it bounds itself (mosquitto: max_queued_messages, 1000; beyond that it drops without a
    word), and on 3.1.1 also how many it sends before they are acknowledged (max_inflight_messages, 20).
    value_path, timestamp_path, quality_path: where in a JSON object, dots between levels; a timestamp is ISO
    8601 with its offset, or milliseconds since 1970; without one the time of arrival counts. command_topic,
    confirm_topic: where a set-point is sent and where the device says what became of it; `{topic}` stands for
    the tag's own. No command topic may be one on which the link listens, nor may one command move two tags. A
    raw confirmation carries nothing but a value, so it cannot tell two equal commands apart. command_qos: 1
    on MQTT 5, where the broker throws a command away that it could not deliver within deadline_s; 0 on 3.1.1,
    where one of 1 may be kept for a device that is away and reach it hours later.
    """

    kind: Literal["mqtt"] = "mqtt"
    payload: Literal["json", "raw"] = "json"
    qos: Literal[0, 1] = 1
    persistent: bool = False
    session_expiry_s: Annotated[int, Field(ge=60, le=30 * 86_400)] = 86_400
    value_path: Annotated[str, Field(min_length=1)] = "value"
    timestamp_path: Annotated[str, Field(min_length=1)] = "timestamp"
    quality_path: Annotated[str, Field(min_length=1)] = "quality"
    command_topic: Annotated[str, Field(min_length=1)] = "{topic}/set"
    confirm_topic: Annotated[str, Field(min_length=1)] = "{topic}/confirmed"
    command_qos: Literal[0, 1] = 1

    @property
    def delivered_again(self) -> int:
        """Most readings that the broker may deliver a second time, since it has no acknowledgement of them.

        On MQTT 5 the link lets the broker send ahead what fills half of buffer_values; on 3.1.1 nothing but the
        queue itself bounds it.
        """
        if not self.persistent:
            return 0
        return self.buffer_values // 2 if self.version == "5" else self.buffer_values

    @model_validator(mode="before")
    @classmethod
    def _commands_do_not_wait(cls, given: object) -> object:
        if isinstance(given, Mapping) and given.get("version") == "3.1.1" and "command_qos" not in given:
            return {**given, "command_qos": 0}
        return given

    @model_validator(mode="after")
    def _session_can_be_kept(self) -> Self:
        if self.persistent and not (self.client_id and self.qos == 1):
            raise ValueError("persistent wants a client_id of its own and qos = 1")
        if self.command_topic == self.confirm_topic:
            raise ValueError(
                "command_topic and confirm_topic must differ: our own command would confirm itself"
            )
        return self


LinkSettings = Annotated[
    OpcUaLinkSettings | SparkplugLinkSettings | MqttLinkSettings | GatewayLinkSettings,
    Field(discriminator="kind"),
]
