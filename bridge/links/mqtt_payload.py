"""What the messages of plain topics say: values, times and qualities in, commands out. No I/O, no clock."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bridge.domain.reading import Quality
from bridge.domain.tag import DataType, Tag, Value, equal_enough
from bridge.settings.links import MqttLinkSettings

EARLIEST_UTC = datetime(2000, 1, 1, tzinfo=UTC)
"""Devices without a clock count from 1970; nothing that a bridge reads is older than this."""
_BITS = {
    DataType.SBYTE: (8, True),
    DataType.BYTE: (8, False),
    DataType.INT16: (16, True),
    DataType.UINT16: (16, False),
    DataType.INT32: (32, True),
    DataType.UINT32: (32, False),
    DataType.INT64: (64, True),
    DataType.UINT64: (64, False),
}
_TRUE, _FALSE = frozenset({"true", "1", "on"}), frozenset({"false", "0", "off"})
_YES, _NO = ("ok", "good", "accepted"), ("error", "refused")
_MISSING = object()
_WORDS_MAX = 200  # of a device's reason: it goes into a log, a database and a window


class Address(NamedTuple):
    """A topic, and where in its JSON object the value lies (None: where the link's value_path says)."""

    topic: str
    path: tuple[str, ...] | None


class Said(NamedTuple):
    """What one message says about one tag. `time_utc` is None when it says none; `why` explains a bad status."""

    value: Value | None
    quality: Quality
    time_utc: datetime | None
    status: str
    why: str = ""


class Confirmation(NamedTuple):
    """What a device says about a command. `id` is empty and `accepted` None when it says nothing of them.

    `said` is its own word for yes or no, or its reason, as a person and a database can read it; empty when it gave
    none. `time_utc` is None when it says none, or one that cannot be read. `reported`: it names a value, which is
    None in `value` when it cannot be one of the tag.
    """

    id: str
    value: Value | None
    accepted: bool | None
    said: str
    time_utc: datetime | None = None
    reported: bool = False


def parse(address: str) -> Address:
    """Read `topic` or `topic#path.in.json`. Raises ValueError."""
    topic, hash_sign, path = address.partition("#")
    if not topic or "+" in topic or "\0" in topic or len(topic.encode()) > 65_535:
        raise ValueError(f"wanted a topic, or topic#path.in.json, without wildcards, found {address!r}")
    words = tuple(path.split("."))
    if hash_sign and not all(words):
        raise ValueError(f"wanted names with a dot between them after the #, found {address!r}")
    return Address(topic, words if hash_sign else None)


class Format:
    """How the devices behind one link write."""

    def __init__(self, settings: MqttLinkSettings) -> None:
        self.raw = settings.payload == "raw"
        self._value_path = tuple(settings.value_path.split("."))
        self._time_path = tuple(settings.timestamp_path.split("."))
        self._quality_path = tuple(settings.quality_path.split("."))

    # --- values ---

    def document(self, payload: bytes) -> object:
        """A payload as text (raw) or as JSON. Raises ValueError with words."""
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError as problem:
            raise ValueError(f"not UTF-8 at byte {problem.start}") from problem
        if self.raw:
            return text.strip()
        try:
            return json.loads(text, parse_constant=_no_number)
        except RecursionError as problem:
            raise ValueError("nested too deeply") from problem
        except ValueError as problem:
            raise ValueError(f"not JSON: {problem}") from problem

    def read(self, document: object, tag: Tag, path: tuple[str, ...] | None, received_utc: datetime) -> Said:
        """What a document says about a tag."""
        if self.raw:
            return _said(_from_text(str(document), tag.data_type), Quality.GOOD, "Good", None)
        found = _at(document, path or self._value_path)
        if found is _MISSING:
            where = ".".join(path or self._value_path)
            return Said(None, Quality.BAD, None, "BadNoData", f"no {where} in the message")
        quality, status = _quality(_at(document, self._quality_path))
        time_utc, wrong = _time(_at(document, self._time_path))
        if not wrong and time_utc is not None:
            ahead = timedelta(seconds=tag.stale_after_s)
            if not EARLIEST_UTC <= time_utc <= received_utc + ahead:
                wrong = f"the time {time_utc.isoformat()} cannot be"
        if wrong and quality is Quality.GOOD:
            quality, status = Quality.UNCERTAIN, "UncertainSourceTime"
        said = _said(_convert(found, tag.data_type), quality, status, time_utc)
        return said._replace(why=said.why or wrong)

    # --- commands ---

    def command(self, tag: Tag, value: Value, path: tuple[str, ...] | None, *, now_ms: int, id: str) -> bytes:
        """A set-point as the device wants it."""
        if self.raw:
            return as_text(value).encode()
        content: dict[str, object] = {}
        _put(content, path or self._value_path, value)
        _put(content, self._time_path, now_ms)
        content["id"] = id
        return json.dumps(content).encode()

    def confirmation(self, payload: bytes, tag: Tag, path: tuple[str, ...] | None) -> Confirmation | None:
        """What a confirmation says; None when it cannot be read."""
        try:
            document = self.document(payload)
        except ValueError:
            return None
        if self.raw:
            text = str(document)
            if text.lower().startswith(_NO):
                return Confirmation("", None, False, _readable(text))
            return Confirmation("", _from_text(text, tag.data_type)[0], None, "", reported=True)
        if not isinstance(document, Mapping):
            return None
        found = _at(document, path or self._value_path)
        value = None if found is _MISSING else _convert(found, tag.data_type)[0]
        id, accepted = document.get("id", ""), document.get("accepted")
        words = (document.get(key) for key in ("reason", "status"))
        said = _readable(next((text for text in words if isinstance(text, str)), ""))
        if accepted is None and isinstance(status := document.get("status"), str):
            accepted = status.lower().startswith(_YES)
        if not isinstance(accepted, bool | None):
            return None
        time_utc, _ = _time(_at(document, self._time_path))
        reported = found is not _MISSING and found is not None
        return Confirmation(id if isinstance(id, str) else "", value, accepted, said, time_utc, reported)


def confirms(confirmation: Confirmation, value: Value, tag: Tag) -> bool:
    """Whether a confirmation reports the very value that was sent, as exactly as the tag's type can hold it."""
    shown = confirmation.value
    return shown is not None and equal_enough(shown, value, data_type=tag.data_type, tolerance=0.0)


def as_text(value: Value) -> str:
    """A value as a bare payload: true or false, and numbers as they are written in JSON."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _said(
    converted: tuple[Value | None, str, str], quality: Quality, status: str, time_utc: datetime | None
) -> Said:
    value, wrong, why = converted
    if wrong:
        # Without a value there is nothing to trust, whatever the quality says; a worse word of the source stays.
        return Said(None, Quality.BAD, time_utc, status if quality is Quality.BAD else wrong, why)
    return Said(value, quality, time_utc, status)


def _convert(found: object, data_type: DataType) -> tuple[Value | None, str, str]:
    """A JSON value as the tag's type: value, or status and words. JSON knows one kind of number only."""
    if found is None:
        return None, "BadNoData", "the value is null"
    if data_type is DataType.BOOLEAN and isinstance(found, bool):
        return found, "", ""
    if data_type is DataType.STRING and isinstance(found, str):
        return found, "", ""
    if isinstance(found, int | float) and not isinstance(found, bool):
        if data_type in (DataType.FLOAT, DataType.DOUBLE):
            try:
                number = float(found)
            except OverflowError:
                number = math.inf
            return (
                (number, "", "") if math.isfinite(number) else (None, "BadOutOfRange", "too large a number")
            )
        if data_type in _BITS and found == found // 1:
            bits, signed = _BITS[data_type]
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
            if low <= found <= high:
                return int(found), "", ""
            return None, "BadOutOfRange", f"wanted a {data_type} from {low} to {high}, found {found!r:.40}"
    return None, "BadTypeMismatch", f"wanted {data_type}, found {type(found).__name__} {found!r:.40}"


def _from_text(text: str, data_type: DataType) -> tuple[Value | None, str, str]:
    """A bare value as the tag's type."""
    if data_type is DataType.STRING:
        return text, "", ""
    if data_type is DataType.BOOLEAN:
        word = text.lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE, "", ""
        return None, "BadTypeMismatch", f"wanted true or false, found {text!r:.40}"
    try:
        number: int | float = int(text) if text.removeprefix("-").isdecimal() else float(text)
    except ValueError:
        return None, "BadTypeMismatch", f"wanted a {data_type} number, found {text!r:.40}"
    if isinstance(number, float) and not math.isfinite(number):
        return None, "BadTypeMismatch", f"wanted a finite {data_type} number, found {text!r:.40}"
    return _convert(number, data_type)


def _time(found: object) -> tuple[datetime | None, str]:
    """A timestamp, or None and why it is none; None and no words where there is none."""
    if found is _MISSING or found is None:
        return None, ""
    try:
        if isinstance(found, int | float) and not isinstance(found, bool):
            return datetime.fromtimestamp(found / 1000, UTC), ""
        if isinstance(found, str):
            time_utc = datetime.fromisoformat(found)
            if time_utc.tzinfo is None:
                return None, f"the time {found!r:.40} has no offset"
            return time_utc.astimezone(UTC), ""
    except (ValueError, OverflowError, OSError):
        pass
    return None, f"wanted ISO 8601 or milliseconds since 1970 as the time, found {found!r:.40}"


def _quality(found: object) -> tuple[Quality, str]:
    """Good, uncertain or bad by word, by truth, or by Ignition's code; what nobody knows is uncertain."""
    if found is _MISSING or found is None or found is True:
        return Quality.GOOD, "Good"
    if found is False:
        return Quality.BAD, "Bad"
    if isinstance(found, str):
        for quality in Quality:
            if found.lower().startswith(quality.value):
                return quality, "Good" if quality is Quality.GOOD else _readable(found, 60)
    elif isinstance(found, int | float) and 0 <= found < 2**32:  # JSON's integers know no end
        # Ignition's own codes carry the level in bits 30 and 31, those of OPC DA in bits 6 and 7.
        code = int(found)
        level = code >> 30 & 3
        if level:
            return (Quality.UNCERTAIN, "Uncertain") if level == 1 else (Quality.BAD, "Bad")
        classic = code & 0xC0
        if classic == 0xC0:
            return Quality.GOOD, "Good"
        return (Quality.UNCERTAIN, "Uncertain") if classic == 0x40 else (Quality.BAD, "Bad")
    return Quality.UNCERTAIN, "UncertainQualityUnknown"


def _at(document: object, path: tuple[str, ...]) -> object:
    """What lies at a path; a number in it may be a place in a list."""
    for word in path:
        if isinstance(document, dict) and word in document:
            document = document[word]
        elif isinstance(document, list) and word.isdecimal() and int(word) < len(document):
            document = document[int(word)]
        else:
            return _MISSING
    return document


def _readable(text: str, length: int = _WORDS_MAX) -> str:
    """A device's words, cut, and with a question mark for whatever no screen shows and no database may store."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:length])


def _put(content: dict[str, object], path: tuple[str, ...], value: object) -> None:
    for word in path[:-1]:
        inner = content.setdefault(word, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{'.'.join(path)} is in the way of another path")
        content = inner
    content[path[-1]] = value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
