"""Logs on stderr: colour when a person watches, one JSON object per line otherwise.

Events are `noun.verb_past` with fields. Passwords never get in: fields that name a secret are starred, and
so is the password inside any URL. Libraries that log weather (asyncua every channel it opens, the pool every
attempt to connect) are heard from WARNING on, and each sentence at most twice a minute.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from bridge.settings import LogSettings

_IN_URL = re.compile(r"(?P<before>\w://[^:/@\s]*):[^/\s]*@")
_SECRET_FIELD = re.compile(r"password|passwd|secret|token|credential|authorization", re.IGNORECASE)
_CONSTRAINED = ("asyncua", "psycopg", "urllib3", "paho")
_REPEAT_AFTER_S = 30.0


def mask(text: str) -> str:
    """The text with every password inside a URL starred."""
    return _IN_URL.sub(r"\g<before>:***@", text)


def configure(settings: LogSettings) -> None:
    """Route structlog and the standard library's logging to stderr in one form."""
    person = sys.stderr.isatty() if settings.format == "auto" else settings.format == "console"
    level = getattr(logging, settings.level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if person else "iso", utc=True),
        hide_secrets,
    ]
    render: list[Processor]
    if person:
        render = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The pretty one shows local variables, and with them passwords.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    else:
        render = [
            structlog.processors.format_exc_info,
            hide_secrets,  # a traceback is text like any other
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    handler.addFilter(Repeats(time.monotonic))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CONSTRAINED:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


@contextmanager
def silent() -> Iterator[None]:
    """Log nothing within the block: a command that looks at everything tells what it found in its report."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Star secret fields and the passwords in URLs, one level deep: fields are flat by habit."""
    for key, value in event.items():
        if _SECRET_FIELD.search(key):
            event[key] = "***"
        elif isinstance(value, str) and "://" in value:
            event[key] = mask(value)
    return event


class Repeats(logging.Filter):
    """Lets one sentence of one logger pass again only after a while, and says how often it was meant."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic_s = monotonic_s
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True when the record may pass."""
        if record.levelno >= logging.ERROR and record.exc_info:
            return True
        key = (record.name, str(record.msg))
        now_s = self._monotonic_s()
        last_s, held_back = self._seen.get(key, (-_REPEAT_AFTER_S, 0))
        if now_s - last_s < _REPEAT_AFTER_S:
            self._seen[key] = (last_s, held_back + 1)
            return False
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[key] = (now_s, 0)
        if held_back:
            record.msg = f"{record.getMessage()} (and {held_back} times more since)"
            record.args = ()
        return True
