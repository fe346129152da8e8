"""Are passwords kept as hashes that are checked right, and is guessing slow without locking anybody out?"""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from bridge.errors import ConfigError
from bridge.publish import passwords
from bridge.publish.passwords import Door, hash_password, is_hash, matches
from bridge.settings import PublishUserSettings


class Hand:
    """A clock turned by hand."""

    def __init__(self) -> None:
        self.s = 0.0

    def now_utc(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return self.s


def test_a_hash_fits_its_password_and_no_other_and_is_never_twice_the_same() -> None:
    line = hash_password("correct horse ü")
    assert is_hash(line)
    assert "horse" not in line
    assert line != hash_password("correct horse ü")
    assert matches("correct horse ü", line)
    for other in ("", "correct horse", "correct horse u", line, "correct horse ü "):
        assert not matches(other, line)


GOOD = hash_password("x")
BROKEN = {
    "empty": "",
    "the password itself": "correct horse",
    "only its name": "scrypt$",
    "only separators": "$" * 5,
    "another scheme": "md5$1$1$1$AA==$AA==",
    "cut short": GOOD[:-4],
    "too cheap": GOOD.replace("16384", "2"),
    "too dear": GOOD.replace("16384", "1073741824"),
    "a scheme of no strength": GOOD.replace("scrypt", "plain"),
    "another block size": GOOD.replace("$8$", "$9$"),
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
def test_what_is_no_hash_lets_nobody_in_and_is_refused_at_start(line: str) -> None:
    """Neither a password in the clear nor a weak or ruinous hash may be taken."""
    assert not is_hash(line)
    assert not matches("x", line)
    assert not matches(line, line)
    with pytest.raises(ConfigError, match=r"users\.anna\.password_hash: wanted a line that"):
        Door({"anna": PublishUserSettings(password_hash=SecretStr(line))}, Hand())


def test_a_hash_is_told_by_no_error_and_no_repr() -> None:
    user = PublishUserSettings(password_hash=SecretStr("scrypt$secret"))
    assert "secret" not in repr(user)
    with pytest.raises(ConfigError) as caught:
        Door({"anna": user}, Hand())
    assert "scrypt$secret" not in str(caught.value)


@pytest.fixture
def door() -> Door:
    return Door({"anna": PublishUserSettings(password_hash=SecretStr(hash_password("right")))}, Hand())


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the door made somebody wait; nothing really waits."""
    seen: list[float] = []

    async def noted(seconds: float) -> None:
        seen.append(seconds)

    monkeypatch.setattr("bridge.publish.passwords.asyncio.sleep", noted)
    return seen


async def test_each_failure_doubles_the_delay_and_success_ends_it(door: Door, waits: list[float]) -> None:
    for _ in range(6):
        assert await door.identify("anna", "wrong", "10.0.0.1") is None
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert await door.identify("anna", "right", "10.0.0.1") is not None
    assert waits[-1] == 8.0
    assert await door.identify("anna", "right", "10.0.0.1") is not None
    assert len(waits) == 6


async def test_neither_another_name_nor_another_address_is_a_way_around(
    door: Door, waits: list[float]
) -> None:
    """Guessing many names from one address is slow, and one name from many addresses, too."""
    await door.identify("bert", "wrong", "10.0.0.1")
    await door.identify("carl", "wrong", "10.0.0.1")
    assert waits == [0.5]
    await door.identify("anna", "wrong", "10.0.0.2")
    await door.identify("anna", "wrong", "10.0.0.3")
    assert waits == [0.5, 0.5]


async def test_nobody_is_locked_out_for_good(waits: list[float]) -> None:
    """Five minutes after the last failure all is forgotten."""
    clock = Hand()
    door = Door({"anna": PublishUserSettings(password_hash=SecretStr(hash_password("right")))}, clock)
    for _ in range(20):
        await door.identify("anna", "wrong", "10.0.0.1")
    assert max(waits) == 8.0
    clock.s += 301.0
    waits.clear()
    assert await door.identify("anna", "right", "10.0.0.1") is not None
    assert waits == []


async def test_what_is_remembered_of_strangers_is_bounded(
    door: Door, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ever new names must not fill the memory."""
    monkeypatch.setattr(passwords, "_MOST_REMEMBERED", 20)
    monkeypatch.setattr(passwords, "matches", lambda password, line: False)
    for number in range(100):
        await door.identify(f"name {number}", "wrong", f"address {number}")
    assert len(door._failures) <= 20
    assert len(door._turns) == 0


async def test_checking_a_password_does_not_stop_the_rest(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash is computed beside the event loop, two at a time: the agent must go on meanwhile."""
    entered, leave = threading.Semaphore(0), threading.Event()

    def stuck(password: str, line: str) -> bool:
        entered.release()
        return leave.wait(10)

    monkeypatch.setattr(passwords, "matches", stuck)
    asked = [asyncio.create_task(door.identify("anna", "right", f"10.0.0.{number}")) for number in range(4)]
    assert await asyncio.to_thread(lambda: entered.acquire(timeout=5) and entered.acquire(timeout=5))
    assert not await asyncio.to_thread(lambda: entered.acquire(timeout=0.2)), "a third at once"
    leave.set()
    assert all(await asyncio.gather(*asked))
