"""The beginning of a PostgreSQL connection in bytes: start-up packets, refusals, and logging in with SCRAM.

Protocol 3.0 as its documentation gives it; nothing here does I/O.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SSL_REQUEST: Final = 80_877_103
GSS_REQUEST: Final = 80_877_104
CANCEL_REQUEST: Final = 80_877_102
PROTOCOL_3: Final = 3
_START_LIMIT: Final = 10_000  # bytes; the server's own limit for a start-up packet

READY: Final = b"Z\x00\x00\x00\x05"
"""How ReadyForQuery begins; the state of the transaction follows in one byte."""

ASK_FOR_PASSWORD: Final = b"R\x00\x00\x00\x08\x00\x00\x00\x03"
LOGGED_IN: Final = b"R\x00\x00\x00\x08\x00\x00\x00\x00"
AUTH_OK, AUTH_CLEARTEXT, AUTH_SASL, AUTH_SASL_CONTINUE, AUTH_SASL_FINAL = 0, 3, 10, 11, 12


class WireError(Exception):
    """Bytes that make no sense at this place."""


class PostgresRefusal(Exception):
    """What the server says before it closes: FATAL, an SQLSTATE and a sentence."""

    def __init__(self, *, sql_state: str, message: str) -> None:
        super().__init__(message)
        self.sql_state = sql_state
        self.message = message

    def packet(self) -> bytes:
        """As an ErrorResponse."""
        parts = (("S", "FATAL"), ("V", "FATAL"), ("C", self.sql_state), ("M", self.message))
        fields = b"".join(kind.encode() + text.encode() + b"\0" for kind, text in parts)
        return message(b"E", fields + b"\0")


def message(kind: bytes, payload: bytes) -> bytes:
    """A packet with its length; ``kind`` is empty for those of the start."""
    return kind + struct.pack("!I", len(payload) + 4) + payload


def check_length(length: int, limit: int = _START_LIMIT) -> int:
    """How many bytes follow a length field. Raises ``WireError``."""
    if not 4 <= length <= limit:
        raise WireError(f"a packet of 4 to {limit} bytes was expected, found a length of {length}")
    return length - 4


@dataclass(frozen=True, kw_only=True)
class StartUp:
    """What a client says first: the protocol's version and the parameters, user and database among them."""

    version: int
    parameters: Mapping[str, str]

    @property
    def user(self) -> str:
        """The role to log in as."""
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        """By itself that of the user's name, as PostgreSQL has it."""
        return self.parameters.get("database") or self.user

    def packet(self, *, database: str) -> bytes:
        """The same for the server behind, with the database's name there."""
        parameters = {**self.parameters, "database": database}
        words = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items())
        return message(b"", struct.pack("!I", self.version) + words + b"\0")


def read_start_up(payload: bytes) -> StartUp:
    """Read what follows the length. Raises ``WireError``."""
    version = struct.unpack_from("!I", payload)[0]
    if version >> 16 != PROTOCOL_3:
        raise WireError(f"protocol 3 was expected, found {version >> 16}.{version & 0xFFFF}")
    try:
        words = payload[4:].decode().split("\0")
    except UnicodeDecodeError as error:
        raise WireError("the start-up packet is not UTF-8") from error
    if words[-2:] != ["", ""] or len(words) % 2:
        raise WireError("the start-up packet does not end as it should")
    pairs = words[:-2]
    return StartUp(version=version, parameters=dict(zip(pairs[::2], pairs[1::2], strict=True)))


class Scram:
    """SCRAM-SHA-256 as a client, without channel binding (RFC 5802, RFC 7677)."""

    MECHANISM: Final = "SCRAM-SHA-256"

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._nonce = secrets.token_urlsafe(18)
        self._signature = b""

    def first(self) -> bytes:
        """SASLInitialResponse."""
        opening = f"n,,{self._bare}".encode()
        return message(b"p", self.MECHANISM.encode() + b"\0" + struct.pack("!I", len(opening)) + opening)

    @property
    def _bare(self) -> str:
        return f"n=,r={self._nonce}"  # the user was named in the start-up packet already

    def proof(self, challenge: str) -> bytes:
        """SASLResponse to the server's first message. Raises ``WireError``."""
        parts = dict(part.split("=", 1) for part in challenge.split(",") if "=" in part)
        if not parts.get("r", "").startswith(self._nonce) or "s" not in parts or "i" not in parts:
            raise WireError("the server's SCRAM challenge does not belong to this login")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(parts["s"]), int(parts["i"]))
        client_key = _sign(salted, b"Client Key")
        bare = f"c=biws,r={parts['r']}"
        whole = f"{self._bare},{challenge},{bare}".encode()
        signature = _sign(hashlib.sha256(client_key).digest(), whole)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._signature = _sign(_sign(salted, b"Server Key"), whole)
        return message(b"p", f"{bare},p={base64.b64encode(proof).decode()}".encode())

    def check(self, last: str) -> None:
        """Whether the server knows the password too. Raises ``WireError``."""
        if last != f"v={base64.b64encode(self._signature).decode()}":
            raise WireError("the server did not prove that it knows the password")


def _sign(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()
