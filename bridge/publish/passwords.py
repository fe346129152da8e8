"""Passwords of the published server's users: hashed with scrypt, and slow to guess."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from weakref import WeakValueDictionary

from bridge.errors import ConfigError
from bridge.ports import Clock
from bridge.settings import PublishUserSettings

# 16 MB and some 50 ms for each guess; 2^17 would be better against a stolen file and would let whoever
# knocks at the door take the memory of the machine that the agent works on.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1
_LENGTH = 32
_AT_ONCE = 2  # hashes computed at the same time, whoever asks
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 8.0
_FORGIVEN_AFTER_S = 300.0
_MOST_REMEMBERED = 10_000


def hash_password(password: str) -> str:
    """A line for `password_hash`: `scrypt$cost$block$parallel$salt$hash`, never twice the same."""
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), _encode(salt), _encode(made)))


def is_hash(line: str) -> bool:
    """Whether a line is one that `hash_password` could have made."""
    return _parts(line) is not None


def matches(password: str, line: str) -> bool:
    """Whether this is the password that was hashed; takes some 50 ms, whatever the answer is."""
    parts = _parts(line)
    if parts is None:
        return False
    cost, block, parallel, salt, wanted = parts
    return hmac.compare_digest(_scrypt(password, salt, cost, block, parallel), wanted)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=cost,
        r=block,
        p=parallel,
        dklen=_LENGTH,
        maxmem=256 * cost * block,
    )


def _parts(line: str) -> tuple[int, int, int, bytes, bytes] | None:
    try:
        kind, cost, block, parallel, salt, made = line.split("$")
        numbers = int(cost), int(block), int(parallel)
        found = (*numbers, base64.b64decode(salt, validate=True), base64.b64decode(made, validate=True))
    except (ValueError, binascii.Error):
        return None
    # Bounds: a hash from elsewhere must not take the machine's memory, nor be no hash at all.
    strong = 2**14 <= numbers[0] <= 2**17 and numbers[0] & (numbers[0] - 1) == 0
    if kind != "scrypt" or not strong or numbers[1] != 8 or numbers[2] != 1 or len(found[4]) != _LENGTH:
        return None
    return found


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class Door:
    """Says who somebody is, and lets whoever guesses wait longer each time.

    A wrong password delays the next answer to the same address and for the same name, up to 8 s, right
    password or not: nobody is locked out, and nobody tries more than a few passwords a minute.
    """

    def __init__(self, users: Mapping[str, PublishUserSettings], clock: Clock) -> None:
        broken = [name for name, user in users.items() if not is_hash(user.password_hash.get_secret_value())]
        if broken:
            raise ConfigError(
                [
                    f"publish.opcua.users.{name}.password_hash: wanted a line that "
                    "`ignition-bridge publish password` prints"
                    for name in broken
                ]
            )
        self._users = dict(users)
        self._clock = clock
        self._nobody = hash_password(secrets.token_hex())  # an unknown name takes as long as a known one
        self._hashing = asyncio.Semaphore(_AT_ONCE)
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def identify(self, name: str, password: str, address: str) -> PublishUserSettings | None:
        """The user with this name and password, None for everybody else; after the delay that is due."""
        keys = (f"address {address}", f"name {name[:100]}")
        async with self._in_turn(keys[0]):
            delay_s = max(self._due_s(key) for key in keys)
            if delay_s:
                await asyncio.sleep(delay_s)
            user = self._users.get(name)
            line = self._nobody if user is None else user.password_hash.get_secret_value()
            async with self._hashing:
                right = await asyncio.to_thread(matches, password, line)
            if user is not None and right:
                for key in keys:
                    self._failures.pop(key, None)
                return user
            for key in keys:
                self._remember(key)
            return None

    def _due_s(self, key: str) -> float:
        count, at_s = self._failures.get(key, (0, 0.0))
        if count == 0 or self._clock.monotonic_s() - at_s > _FORGIVEN_AFTER_S:
            return 0.0
        return min(_FIRST_DELAY_S * 2.0 ** min(count - 1, 10), _LONGEST_DELAY_S)

    def _remember(self, key: str) -> None:
        count = self._failures.get(key, (0, 0.0))[0] if self._due_s(key) else 0
        self._failures[key] = (count + 1, self._clock.monotonic_s())
        self._failures.move_to_end(key)
        if len(self._failures) > _MOST_REMEMBERED:
            self._failures.popitem(last=False)

    def _in_turn(self, key: str) -> asyncio.Lock:
        """One attempt of an address at a time: many connections at once are no way around the delay."""
        lock = self._turns.get(key)
        if lock is None:
            lock = self._turns[key] = asyncio.Lock()
        return lock
