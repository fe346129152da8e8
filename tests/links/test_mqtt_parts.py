"""The pure parts below a link over MQTT: packets out of bytes, and what messages of plain topics say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_bench import LIMITS, tag

from bridge.domain.reading import Quality
from bridge.domain.tag import DataType
from bridge.links.mqtt_frames import Frames, NotMqtt, Packet, published
from bridge.links.mqtt_payload import Format, Said, confirms, parse
from bridge.links.mqtt_security import in_the_clear
from bridge.settings import MqttLinkSettings

NOW_UTC = datetime(2026, 5, 1, 12, tzinfo=UTC)


def length_bytes(length: int) -> bytes:
    found = bytearray()
    while True:
        length, low = divmod(length, 128)
        found.append(low | (0x80 if length else 0))
        if not length:
            return bytes(found)


def packet(command: int, body: bytes) -> bytes:
    return bytes((command,)) + length_bytes(len(body)) + body


def publish(topic: bytes, payload: bytes, *, qos: int = 0, version_5: bool = False) -> bytes:
    head = len(topic).to_bytes(2, "big") + topic + (b"\x00\x07" if qos else b"")
    return packet(0x30 | qos << 1, head + (b"\x00" if version_5 else b"") + payload)


class TestFrames:
    @given(
        bodies=st.lists(st.binary(max_size=400), min_size=1, max_size=6),
        cuts=st.lists(st.integers(min_value=1, max_value=50), min_size=1, max_size=400),
    )
    def test_packets_come_out_as_they_went_in_however_they_are_cut(
        self, bodies: list[bytes], cuts: list[int]
    ) -> None:
        sent = [packet(0xD0, body) for body in bodies]
        frames, stream, found, at = Frames(10_000, version_5=True), b"".join(sent), list[Packet](), 0
        for size in cuts:
            found += frames.feed(stream[at : at + size])
            at += size
        found += frames.feed(stream[at:])
        assert found == [Packet(one) for one in sent]

    @given(
        size=st.integers(min_value=1000, max_value=5000),
        step=st.integers(min_value=1, max_value=3000),
        qos=st.integers(min_value=0, max_value=1),
        version_5=st.booleans(),
    )
    def test_a_message_that_is_too_long_comes_back_empty_and_the_next_is_whole(
        self, size: int, step: int, qos: int, version_5: bool
    ) -> None:
        long = publish(b"a/b", bytes(size), qos=qos, version_5=version_5)
        after = publish(b"c", b"after", qos=qos, version_5=version_5)
        frames, stream, found = Frames(1000, version_5=version_5), long + after + after, list[Packet]()
        for at in range(0, len(stream), step):
            found += frames.feed(stream[at : at + step])
        empty = publish(b"a/b", b"", qos=qos, version_5=version_5)
        length = len(long) - 1 - len(length_bytes(len(long) - 3))
        assert found == [Packet(empty, length), Packet(after), Packet(after)]

    def test_nothing_of_a_message_that_is_too_long_is_held(self) -> None:
        frames = Frames(1024, version_5=False)
        frames.feed(b"\x30" + length_bytes(200_000_000) + b"\x00\x01a")
        for _ in range(100):
            assert frames.feed(bytes(65_536)) == []
            assert sum(map(len, frames._pieces)) <= 1024

    @pytest.mark.parametrize(
        "data",
        [
            b"\x30\xff\xff\xff\xff\x01",  # five bytes of length
            b"\x90" + length_bytes(5000) + bytes(10),  # a SUBACK of 5,000 bytes
            b"\x30" + length_bytes(2000) + b"\xff\xff" + bytes(1998),  # a topic longer than its message
        ],
    )
    def test_what_cannot_be_mqtt_is_refused(self, data: bytes) -> None:
        with pytest.raises(NotMqtt):
            Frames(1024, version_5=False).feed(data)


class TestPublished:
    @given(
        topic=st.binary(min_size=1, max_size=200),
        payload=st.binary(max_size=400),
        qos=st.integers(min_value=0, max_value=1),
        properties=st.none() | st.binary(max_size=200),
        retained=st.booleans(),
        duplicate=st.booleans(),
    )
    def test_a_message_is_read_as_it_was_written(
        self,
        topic: bytes,
        payload: bytes,
        qos: int,
        properties: bytes | None,
        retained: bool,
        duplicate: bool,
    ) -> None:
        body = len(topic).to_bytes(2, "big") + topic + (b"\x01\x02" if qos else b"")
        if properties is not None:
            body += length_bytes(len(properties)) + properties
        content = packet(0x30 | duplicate << 3 | qos << 1 | retained, body + payload)
        found = published(content, version_5=properties is not None)
        assert found == (topic, payload, qos, retained, duplicate, 0x0102 if qos else 0)

    @pytest.mark.parametrize("version_5", [False, True])
    def test_a_message_that_is_cut_short_is_refused(self, version_5: bool) -> None:
        whole = publish(b"a/topic", b"", qos=1, version_5=version_5)[2:]
        for length in range(len(whole)):
            with pytest.raises(NotMqtt):
                published(packet(0x32, whole[:length]), version_5=version_5)

    @pytest.mark.parametrize(
        "content",
        [packet(0x34, b"\x00\x01a\x00\x01"), packet(0x32, b"\x00\x01a\x00\x00"), packet(0x30, b"\x00\x00x")],
    )
    def test_qos_2_no_identifier_and_no_topic_are_refused(self, content: bytes) -> None:
        with pytest.raises(NotMqtt):
            published(content, version_5=False)

    def test_other_packets_are_none_of_ours(self) -> None:
        assert published(packet(0xD0, b""), version_5=True) is None


class TestAddress:
    def test_topic_and_path(self) -> None:
        assert parse("a/b") == ("a/b", None)
        assert parse("a/b#x.y.0") == ("a/b", ("x", "y", "0"))

    @pytest.mark.parametrize("address", ["", "#x", "a/+/b", "a#", "a#x..y", "a\0b", "a" * 70_000])
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        with pytest.raises(ValueError, match="wanted"):
            parse(address)


def format_of(**changes: Any) -> Format:
    return Format(MqttLinkSettings.model_validate({"broker": "mqtt://localhost", **changes}))


def said(
    content: object,
    data_type: DataType = DataType.DOUBLE,
    path: tuple[str, ...] | None = None,
    **changes: Any,
) -> Said:
    format = format_of(**changes)
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    return format.read(format.document(payload), tag("T", data_type), path, NOW_UTC)


class TestJson:
    def test_value_time_and_quality_lie_where_the_paths_say(self) -> None:
        content = {"a": {"v": [0, 2.5]}, "t": "2026-05-01T13:30:00+02:00", "q": "uncertain"}
        found = said(content, value_path="a.v.1", timestamp_path="t", quality_path="q")
        assert found == (2.5, Quality.UNCERTAIN, datetime(2026, 5, 1, 11, 30, tzinfo=UTC), "uncertain", "")

    def test_a_path_of_the_tag_goes_before_the_links(self) -> None:
        assert said({"value": 1.0, "x": {"y": 2.0}}, path=("x", "y")).value == 2.0

    def test_milliseconds_are_a_time_too(self) -> None:
        assert said({"value": 1, "timestamp": 1_777_636_800_123}).time_utc == NOW_UTC + timedelta(
            milliseconds=123
        )

    def test_without_time_and_quality_a_value_is_good(self) -> None:
        assert said({"value": 1}) == (1.0, Quality.GOOD, None, "Good", "")

    @pytest.mark.parametrize(
        ("data_type", "value", "expected"),
        [
            (DataType.FLOAT, 3, 3.0),
            (DataType.INT16, 5.0, 5),
            (DataType.UINT64, 2**64 - 1, 2**64 - 1),
            (DataType.BOOLEAN, False, False),
            (DataType.STRING, "idle", "idle"),
        ],
    )
    def test_values_become_the_tags_own_type(self, data_type: DataType, value: Any, expected: Any) -> None:
        found = said({"value": value}, data_type).value
        assert found == expected
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("data_type", "value", "status"),
        [
            (DataType.FLOAT, "3", "BadTypeMismatch"),
            (DataType.FLOAT, True, "BadTypeMismatch"),
            (DataType.INT16, 1.5, "BadTypeMismatch"),
            (DataType.INT16, 40_000, "BadOutOfRange"),
            (DataType.BYTE, -1, "BadOutOfRange"),
            (DataType.BOOLEAN, 1, "BadTypeMismatch"),
            (DataType.STRING, 1, "BadTypeMismatch"),
            (DataType.DOUBLE, 10**400, "BadOutOfRange"),
            (DataType.DOUBLE, None, "BadNoData"),
            (DataType.DOUBLE, {"x": 1}, "BadTypeMismatch"),
        ],
    )
    def test_another_type_is_bad_and_says_why(self, data_type: DataType, value: Any, status: str) -> None:
        found = said({"value": value}, data_type)
        assert (found.value, found.quality, found.status) == (None, Quality.BAD, status)
        assert found.why

    @pytest.mark.parametrize(
        "payload",
        [b"", b"{", b"\xff\xfe", b"NaN", b'{"value": Infinity}', b"[" * 100_000, b"1" * 10_000],
    )
    def test_what_is_no_json_is_refused_with_words(self, payload: bytes) -> None:
        with pytest.raises(ValueError, match=r"JSON|UTF|nested|number"):
            format_of().document(payload)

    @pytest.mark.parametrize("content", [1, [], "x", {}, {"Value": 1}])
    def test_a_message_without_the_value_is_bad(self, content: object) -> None:
        assert said(content).status == "BadNoData"

    @pytest.mark.parametrize(
        "time",
        [
            0,
            3_786_912_000_000,
            1e30,
            "1970-01-01T00:00:00Z",
            "2090-01-01T00:00:00Z",
            "now",
            "2026-05-01",
            True,
        ],
    )
    def test_a_time_that_cannot_be_makes_the_value_uncertain(self, time: object) -> None:
        found = said({"value": 1.0, "timestamp": time})
        assert (found.value, found.quality, found.status) == (1.0, Quality.UNCERTAIN, "UncertainSourceTime")
        assert found.why

    @pytest.mark.parametrize(
        ("word", "quality"),
        [
            ("Good", Quality.GOOD),
            ("Bad_Stale", Quality.BAD),
            (192, Quality.GOOD),
            (64, Quality.UNCERTAIN),
            (0, Quality.BAD),
            (0x80000200, Quality.BAD),
            (True, Quality.GOOD),
            (False, Quality.BAD),
            (None, Quality.GOOD),
            ("perhaps", Quality.UNCERTAIN),
            (-1, Quality.UNCERTAIN),
            (10**400, Quality.UNCERTAIN),
            (1e300, Quality.UNCERTAIN),
            (2**32 + 192, Quality.UNCERTAIN),
        ],
    )
    def test_quality_by_word_truth_or_code(self, word: object, quality: Quality) -> None:
        assert said({"value": 1.0, "quality": word}).quality is quality


class TestRaw:
    @pytest.mark.parametrize(
        ("data_type", "payload", "expected"),
        [
            (DataType.DOUBLE, b" 21.5\n", 21.5),
            (DataType.INT16, b"-7", -7),
            (DataType.BOOLEAN, b"ON", True),
            (DataType.BOOLEAN, b"0", False),
            (DataType.STRING, "höchst".encode(), "höchst"),
        ],
    )
    def test_a_bare_value(self, data_type: DataType, payload: bytes, expected: Any) -> None:
        assert said(payload, data_type, payload="raw")[:2] == (expected, Quality.GOOD)

    @pytest.mark.parametrize(
        ("data_type", "payload"),
        [(DataType.DOUBLE, b"nan"), (DataType.INT16, b"x"), (DataType.BOOLEAN, b"yes")],
    )
    def test_what_is_no_value_is_bad(self, data_type: DataType, payload: bytes) -> None:
        assert said(payload, data_type, payload="raw")[1:2] == (Quality.BAD,)


class TestCommands:
    def test_a_command_has_value_time_and_id_where_the_paths_say(self) -> None:
        target = tag("T", DataType.FLOAT, limits=LIMITS)
        made = format_of(timestamp_path="meta.at").command(target, 1.5, ("set", "v"), now_ms=7, id="x")
        assert json.loads(made) == {"set": {"v": 1.5}, "meta": {"at": 7}, "id": "x"}
        assert format_of(payload="raw").command(target, True, None, now_ms=7, id="x") == b"true"

    @pytest.mark.parametrize(
        ("content", "accepted"),
        [
            ({"id": "x", "value": 1.5, "accepted": True}, True),
            ({"id": "x", "value": 1.5, "status": "ok"}, True),
            ({"id": "x", "value": 1.5, "status": "BadOutOfRange"}, False),
            ({"value": 1.5}, None),
        ],
    )
    def test_a_confirmation_says_yes_no_or_nothing(self, content: object, accepted: bool | None) -> None:
        found = format_of().confirmation(json.dumps(content).encode(), tag("T"), None)
        assert found is not None
        assert found.accepted is accepted
        assert confirms(found, 1.5, tag("T"))

    @pytest.mark.parametrize("raw", [False, True], ids=["json", "raw"])
    def test_a_reason_can_be_shown_and_stored(self, raw: bool) -> None:
        """It goes into a database, which takes neither NUL nor half a surrogate pair, and in front of people."""
        words = (
            "error \0\x1b[2J\u202e Ventil höher \ud800" if not raw else "error \0\x1b[2J\u202e Ventil höher "
        )
        payload = words if raw else json.dumps({"accepted": False, "reason": words + "x" * 2**20})
        found = format_of(payload="raw" if raw else "json").confirmation(
            (payload + "x" * 2**20 if raw else payload).encode(), tag("T"), None
        )
        assert found is not None
        assert found.said.startswith("error ??[2J? Ventil höher ")
        assert found.said.isprintable()
        assert len(found.said) == 200

    def test_a_quality_in_words_can_be_shown_and_stored(self) -> None:
        assert said({"value": 1.0, "quality": "uncertain\0\ud800"}).status == "uncertain??"

    @pytest.mark.parametrize("payload", [b"{", b"[]", b'{"accepted": "maybe"}', b"\xff"])
    def test_what_is_no_confirmation_is_none(self, payload: bytes) -> None:
        assert format_of().confirmation(payload, tag("T"), None) is None

    def test_a_float_confirms_as_exactly_as_it_can(self) -> None:
        target = tag("T", DataType.FLOAT)
        found = format_of().confirmation(b'{"value": 0.10000000149011612}', target, None)
        assert found is not None
        assert confirms(found, 0.1, target)
        assert not confirms(found, 0.2, target)


@pytest.mark.parametrize(
    ("broker", "clear"),
    [
        ("mqtt://127.0.0.1", False),
        ("mqtt://localhost:1884", False),
        ("mqtts://plant.example", False),
        ("mqtt://plant.example", True),
        ("mqtt://10.0.0.7", True),
    ],
)
def test_what_travels_in_the_clear_to_another_machine_is_said(broker: str, clear: bool) -> None:
    words = in_the_clear(
        MqttLinkSettings.model_validate({"broker": broker, "username": "u", "password": "secret"})
    )
    assert (words is not None) is clear
    assert "secret" not in (words or "")
