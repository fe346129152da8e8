"""A small OPC UA server with every kind of node the link must cope with; runs in its own process, see `forks`.

Commands come on standard input, one line each: `set NAME VALUE`, `status NAME CODE`, `mute NAME` (changes are
not notified any more), `rate VALUES_PER_S`, `writes` (prints the writes so far as JSON). `ready PORT` is
printed once it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import ua as asyncua_types
from asyncua.common.callback import CallbackType
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from prepared_space import prepare

from simulator.opcua.standard_space import WarmServer

__all__ = ["main", "prepare"]  # what `forks` asks for
ua: Any = asyncua_types  # its own types are stricter than what it takes
NAMESPACE = "urn:ignition-bridge:plant"
FLOAT, BOOLEAN, INT16, DOUBLE = (
    ua.VariantType.Float,
    ua.VariantType.Boolean,
    ua.VariantType.Int16,
    ua.VariantType.Double,
)
PLAIN = {
    "Constant": (21.5, DOUBLE, False),
    "Flag": (True, BOOLEAN, False),
    "Target": (50.0, FLOAT, True),
    "Switch": (False, BOOLEAN, True),
    "Count": (3, INT16, True),
    "ReadOnly": (1.0, FLOAT, False),
    "Text": ("idle", ua.VariantType.String, False),
    "Array": ([1.0, 2.0], DOUBLE, True),
}


class Password:
    """Accepts one user."""

    def __init__(self, name: str, password: str) -> None:
        self._wanted = (name, password)

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        return User(role=UserRole.Admin, name=username) if (username, password) == self._wanted else None


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _serve(options: argparse.Namespace) -> None:
    user: Any = Password(*options.user.split(":", 1)) if options.user else None
    ruleset: Any = SimpleRoleRuleset
    server = Server(iserver=WarmServer(user_manager=user))
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{options.port}/")
    if options.certificate:
        server.set_security_policy(
            [getattr(ua.SecurityPolicyType, f"{options.policy}_SignAndEncrypt")],
            permission_ruleset=ruleset(),
        )
        await server.load_certificate(options.certificate)
        await server.load_private_key(options.key)
        await server.set_application_uri("urn:test:server")
        if options.trust:
            trust = TrustStore([Path(options.trust)], [])
            await trust.load()
            server.set_certificate_validator(
                CertificateValidator(
                    CertificateValidatorOptions.TRUSTED | CertificateValidatorOptions.PEER_CLIENT, trust
                )
            )
    else:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    if options.user:
        server.set_identity_tokens([ua.UserNameIdentityToken])
    for uri in options.namespaces_before:
        await server.register_namespace(uri)
    index = await server.register_namespace(options.namespace)
    nodes = {}
    for name, (value, kind, writable) in PLAIN.items():
        if name in options.without:
            continue
        node = await server.nodes.objects.add_variable(ua.NodeId(name, index), name, value, kind)
        if writable:
            await node.set_writable()
        nodes[name] = node
    if "Target" in nodes:
        await nodes["Target"].add_property(
            ua.NodeId("Target.EURange", index), ua.QualifiedName("EURange", 0), ua.Range(0.0, 100.0)
        )
    counters = [
        await server.nodes.objects.add_variable(ua.NodeId(f"Counter/{n}", index), f"Counter{n}", 0.0, DOUBLE)
        for n in range(options.counters)
    ]
    writes: list[tuple[str, Any]] = []

    def _written(event: Any, _: Any) -> None:
        for item in event.request_params.NodesToWrite:
            if item.NodeId.NamespaceIndex == index and item.AttributeId == AttributeIds.Value:
                writes.append((item.NodeId.Identifier, item.Value.Value.Value))

    server.subscribe_server_callback(CallbackType.PostWrite, _written)
    rate = [options.rate]

    async def _count() -> None:
        step, due = 0, asyncio.get_running_loop().time()
        while True:
            if not rate[0] or not counters:
                await asyncio.sleep(0.05)
                due = asyncio.get_running_loop().time()
                continue
            step += 1
            now_utc = datetime.now(UTC)
            for node in counters:
                value = ua.DataValue(ua.Variant(float(step), DOUBLE), SourceTimestamp=now_utc)
                await server.write_attribute_value(node.nodeid, value)
            due += len(counters) / rate[0]
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))

    async def _obey(line: str) -> None:
        verb, *words = line.split(maxsplit=2)
        if verb == "set":
            value = ua.DataValue(
                ua.Variant(json.loads(words[1]), PLAIN[words[0]][1]), SourceTimestamp=datetime.now(UTC)
            )
            await server.write_attribute_value(nodes[words[0]].nodeid, value)
        elif verb == "status":
            variant = ua.Variant(None) if words[1].startswith("Bad") else ua.Variant(*PLAIN[words[0]][:2])
            bad = ua.DataValue(variant, ua.StatusCode(getattr(StatusCodes, words[1])), datetime.now(UTC))
            await server.write_attribute_value(nodes[words[0]].nodeid, bad)
        elif verb == "mute":
            attribute = server.iserver.aspace[nodes[words[0]].nodeid].attributes[AttributeIds.Value]
            attribute.datachange_callbacks.clear()
        elif verb == "rate":
            rate[0] = float(words[0])
        elif verb == "writes":
            _say(json.dumps(writes))

    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with server:
        counting = asyncio.create_task(_count())
        _say(f"ready {options.port}")
        while line := await reader.readline():
            await _obey(line.decode().strip())
        counting.cancel()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--counters", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--namespace", default=NAMESPACE)
    parser.add_argument("--namespaces-before", nargs="*", default=[])
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--user", default="")
    parser.add_argument("--policy", default="Basic256Sha256")
    parser.add_argument("--certificate", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--trust", default="")
    asyncio.run(_serve(parser.parse_args(arguments)))
