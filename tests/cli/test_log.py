"""Logs: JSON for programs, no password in any of them, libraries on a short leash."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from bridge import log
from bridge.settings import LogSettings


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was said on a stderr that is no terminal; logging is put back as it was."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield lambda: capsys.readouterr().err
    root.handlers[:], root.level = before[0], before[1]
    for name in ("asyncua", "psycopg", "urllib3", "paho"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(said: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in said.splitlines()]


def test_one_json_object_a_line(stderr: Callable[[], str]) -> None:
    log.configure(LogSettings())
    structlog.get_logger("bridge.test").info("command.verified", command_id="C-1", took_ms=4.2)
    structlog.get_logger("bridge.test").debug("too.quiet")
    found = lines(stderr())
    assert len(found) == 1
    assert (found[0]["event"], found[0]["took_ms"], found[0]["level"]) == ("command.verified", 4.2, "info")
    assert str(found[0]["timestamp"]).endswith("Z")


def test_secrets_are_starred(stderr: Callable[[], str]) -> None:
    log.configure(LogSettings())
    logger = structlog.get_logger("bridge.test")
    logger.info(
        "store.opened", url="postgresql://anna:tulip77@db/bridge", password="tulip77", access_token="tulip77"
    )
    try:
        raise ValueError("cannot reach postgresql://anna:tulip77@db/bridge")
    except ValueError:
        logger.exception("store.lost")
        logging.getLogger("psycopg.pool").exception("lost postgresql://anna:tulip77@db/bridge")
    said = stderr()
    assert "tulip77" not in said
    assert all("postgresql://anna:***@db/bridge" in line for line in said.splitlines())
    assert len(said.splitlines()) == 3


def test_libraries_speak_from_warning_on_and_do_not_repeat_themselves(stderr: Callable[[], str]) -> None:
    log.configure(LogSettings())
    library = logging.getLogger("asyncua.client")
    library.info("opening a channel")
    for number in range(100):
        library.warning("connection %s refused", number)
    found = lines(stderr())
    assert [item["event"] for item in found] == ["connection 0 refused"]
    assert found[0]["logger"] == "asyncua.client"


def test_what_was_held_back_is_counted() -> None:
    now_s = 0.0
    repeats = log.Repeats(lambda: now_s)

    def record() -> logging.LogRecord:
        return logging.LogRecord("asyncua", logging.WARNING, "", 0, "refused %s", (1,), None)

    assert [repeats.filter(record()) for _ in range(3)] == [True, False, False]
    now_s = 31.0
    last = record()
    assert repeats.filter(last)
    assert last.getMessage() == "refused 1 (and 2 times more since)"


def test_console_for_a_person(stderr: Callable[[], str]) -> None:
    log.configure(LogSettings(format="console"))
    structlog.get_logger("bridge.test").warning("link.lost", link="plant")
    said = stderr()
    assert "link.lost" in said
    assert not said.startswith("{")
