"""Messages of plain topics as readings of the tags they speak of. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag
from bridge.links.mqtt_addresses import Topics
from bridge.links.mqtt_message import Message
from bridge.links.mqtt_payload import Format

LAST_USABLE = "UncertainLastUsableValue"


class Found(NamedTuple):
    """What a message says of one tag, and words if it could not be used as it is."""

    handle: int
    reading: Reading
    why: str


class Reader:
    """For one session; `untimed` are the handles whose messages carried no time of their own."""

    def __init__(self, format: Format, topics: Topics, tags: Sequence[Tag]) -> None:
        self.untimed: set[int] = set()
        self._format = format
        self._topics = topics
        self._tags = tags

    def read(self, message: Message, handles: Sequence[int], *, past: bool) -> list[Found]:
        """What it says of these tags. past: the message is known to say what was, not what is."""
        received_utc = message.received_utc
        if message.too_long:
            why = f"{message.too_long:,} bytes are more than max_message_bytes"
            return self.spoiled(message, handles, "BadEncodingLimitsExceeded", why, past=past)
        try:
            document = self._format.document(message.payload)
        except ValueError as problem:
            return self.spoiled(message, handles, "BadDecodingError", str(problem), past=past)
        found = []
        for handle in handles:
            tag = self._tags[handle]
            said = self._format.read(document, tag, self._topics.addresses[handle].path, received_utc)
            quality, status = said.quality, said.status
            if said.time_utc is None:
                self.untimed.add(handle)
                if past and quality is Quality.GOOD:
                    # It may be of any age, and its arrival says nothing of it.
                    quality, status = Quality.UNCERTAIN, LAST_USABLE
            time_utc = said.time_utc or received_utc
            reading = Reading(tag, said.value, quality, time_utc, received_utc, status, past)
            found.append(Found(handle, reading, said.why))
        return found

    def spoiled(
        self, message: Message, handles: Sequence[int], status: str, why: str, *, past: bool
    ) -> list[Found]:
        """What a message that cannot be read says of its tags: no value, with a status and words."""
        at_utc = message.received_utc
        return [
            Found(handle, Reading(self._tags[handle], None, Quality.BAD, at_utc, at_utc, status, past), why)
            for handle in handles
        ]
