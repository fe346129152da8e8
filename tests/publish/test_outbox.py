"""Does what waits for the broker survive everything, in order, within its bounds?"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import BufferDown, ConfigError
from bridge.publish.edge_metrics import Change, Place, Scalar
from bridge.publish.outbox import Outbox
from bridge.sparkplug.types import MetricType

ROOT = Path(__file__).parent.parent.parent


def set_aside(folder: Path) -> list[Path]:
    return list(folder.glob("outbox.sqlite.damaged-*"))


def change(number: int, value: Scalar = "x", kind: MetricType = MetricType.STRING) -> Change:
    return Change(Place("R1", "Id"), kind, value, 192, 1_000 + number)


async def opened(path: Path, max_bytes: int = 2**20) -> Outbox:
    box = Outbox(path, max_bytes)
    await box.open()
    return box


async def times(box: Outbox) -> list[int]:
    return [one.timestamp_ms for one in await box.read(0, box.last_id, 100_000)]


async def test_what_is_put_in_comes_back_as_it_was(tmp_path: Path) -> None:
    box = await opened(tmp_path / "sub" / "outbox.sqlite")
    put = [
        change(1, "grün ✓"),
        change(2, "", MetricType.STRING),
        change(3, True, MetricType.BOOLEAN),
        change(4, False, MetricType.BOOLEAN),
        change(5, -(2**63), MetricType.INT64),
        change(6, 5.0, MetricType.DOUBLE),
        change(7, None, MetricType.DATETIME),
        Change(Place("", "Agent/Status"), MetricType.STRING, "x", 500, 8),
    ]
    ids = await box.append(put)
    back = await box.read(0, box.last_id, 100)
    assert back == [one._replace(id=number) for one, number in zip(put, ids, strict=True)]
    assert [type(one.value) for one in back] == [type(one.value) for one in put]
    assert ids == sorted(ids)
    await box.close()


async def test_it_outlives_the_process_and_ids_are_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    box = await opened(path)
    ids = await box.append([change(number) for number in range(10)])
    await box.delete(ids)
    ids = await box.append([change(20), change(21)])
    await box.close()
    again = await opened(path)
    assert await times(again) == [1020, 1021]
    assert (again.depth, again.last_id) == (2, ids[-1])
    assert min(await again.append([change(30)])) > ids[-1]
    await again.close()


async def test_parts_are_read_and_only_what_is_named_is_deleted(tmp_path: Path) -> None:
    box = await opened(tmp_path / "outbox.sqlite")
    ids = await box.append([change(number) for number in range(10)])
    assert [one.id for one in await box.read(ids[2], ids[7], 3)] == ids[3:6]
    await box.delete([ids[0], ids[5], 99_999])
    assert (await times(box), box.depth) == ([1001, 1002, 1003, 1004, 1006, 1007, 1008, 1009], 8)
    await box.close()


async def test_the_oldest_go_when_it_is_full_and_are_counted_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    box = await opened(path, 2**20)
    for at in range(0, 5000, 50):
        await box.append([change(number, "v" * 1000) for number in range(at, at + 50)])
    assert box.bytes <= 2**20
    left = await times(box)
    assert left == list(range(1000 + 5000 - len(left), 6000)), "the newest, without a gap"
    assert box.dropped == 5000 - len(left) > 3000
    assert box.depth == len(left)
    await box.close()
    again = await opened(path)
    assert (again.dropped, again.depth, again.bytes) == (5000 - len(left), len(left), box.bytes)
    await again.close()


async def test_bd_seq_goes_round_and_survives(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    box = await opened(path)
    assert [await box.next_bd_seq() for _ in range(3)] == [0, 1, 2]
    await box.close()
    again = await opened(path)
    assert [await again.next_bd_seq() for _ in range(254)][-2:] == [255, 0]
    await again.close()


async def test_a_second_bridge_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    box = await opened(path)
    await box.append([change(1)])
    with pytest.raises(ConfigError, match="no other bridge on it"):
        await opened(path)
    assert await times(box) == [1001]
    await box.close()


async def test_a_damaged_outbox_is_set_aside_and_never_deleted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    box = await opened(path)
    await box.append([change(1)])
    await box.close()
    whole = path.read_bytes()
    broken = whole[:100] + b"\xff" * (len(whole) - 100)  # the header is there, and nothing else is
    path.write_bytes(broken)
    box = await opened(path)
    await box.append([change(2)])
    assert await times(box) == [1002]
    assert [file.read_bytes() for file in set_aside(tmp_path)] == [broken]
    await box.close()


async def test_an_empty_file_becomes_an_outbox(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.touch()
    box = await opened(path)
    await box.append([change(1)])
    assert (await times(box), set_aside(tmp_path)) == ([1001], [])
    await box.close()


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def copy_as_killed(path: Path, copy: Path) -> None:
    """What a kill leaves: the file and its journal, not put together."""
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())


def somebody_elses(path: Path, content: str) -> None:
    if content == "text":
        path.write_text("[store]\nurl = 'x'\n" * 50, encoding="utf-8")
        return
    if content == "short":
        path.write_bytes(b"SQLite")
        return
    other = sqlite3.connect(path)
    if content == "marked":
        other.execute("pragma application_id = 252006673")
    if content != "no tables":
        other.execute("create table precious (n integer)")
    else:
        other.execute("pragma user_version = 7")
    other.commit()
    other.close()


@pytest.mark.parametrize("content", ["text", "short", "database", "marked", "no tables"])
async def test_somebody_elses_file_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    """A wrong path in the configuration must not cost anybody a byte, a name or a journal mode."""
    path = tmp_path / "erp.sqlite"
    somebody_elses(path, content)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"erp\.sqlite is not an outbox.*name another file"):
        await opened(path)
    assert path.read_bytes() == before
    assert files(tmp_path) == [path]


async def test_a_killed_outbox_is_known_as_ours(tmp_path: Path) -> None:
    """The mark has to be in the file itself before anything else is, and not only in its journal."""
    path, copy = tmp_path / "outbox.sqlite", tmp_path / "copy.sqlite"
    box = await opened(path)
    copy_as_killed(path, copy)
    again = await opened(copy)
    await again.close()
    await box.close()


async def test_what_cannot_be_put_in_leaves_no_change_half_open(tmp_path: Path) -> None:
    """Whatever goes wrong in the middle, the next change has to find the file ready."""
    box = await opened(tmp_path / "outbox.sqlite")
    with pytest.raises(OverflowError):
        await box.append([change(1, "x"), change(2, 2**70, MetricType.INT64)])
    await box.append([change(3)])
    assert await times(box) == [1003]
    await box.close()


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"publish\.sparkplug\.outbox: .* cannot be used"):
        await opened(tmp_path / "file" / "outbox.sqlite")


async def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    box = await opened(path)
    ids = await box.append([change(1)])
    assert box._db is not None
    box._db.execute("pragma max_page_count = 12")  # what a full disk looks like to the library
    with pytest.raises(BufferDown, match="full"):
        await box.append([change(number, "v" * 4000) for number in range(100)])
    assert (box.depth, await times(box)) == (1, [1001])
    box._db.execute("pragma max_page_count = 1000000")
    assert await box.append([change(2)]) == [ids[0] + 1]
    await box.close()


async def test_a_cancelled_caller_leaves_a_whole_change_behind(tmp_path: Path) -> None:
    """The bridge may be stopped while it writes: the file must hold all of it or nothing, and stay usable."""
    box = await opened(tmp_path / "outbox.sqlite")
    task = asyncio.create_task(box.append([change(number) for number in range(5000)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert box.depth == len(await times(box))
    assert box.depth in (0, 5000)
    await box.append([change(9000)])
    await box.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from bridge.publish.edge_metrics import Change, Place
from bridge.publish.outbox import Outbox
from bridge.sparkplug.types import MetricType

async def write():
    box = Outbox(Path(sys.argv[1]), 2**30)
    await box.open()
    for batch in range(100_000):
        at = 1000 + batch * 10
        await box.append(
            [Change(Place("R1", "Id"), MetricType.STRING, "x", 192, at + number) for number in range(10)]
        )
        print(batch, flush=True)

asyncio.run(write())
"""


def test_killed_in_the_middle_of_writing(tmp_path: Path) -> None:
    """What was acknowledged before the kill must be there, and nothing half."""
    path = tmp_path / "outbox.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert writer.stdout is not None
    last = -1
    while last < 20:
        last = int(writer.stdout.readline())
    writer.kill()
    rest = writer.stdout.read().split(b"\n")[:-1]
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    last = int(rest[-1]) if rest else last

    async def left() -> list[int]:
        box = await opened(path)
        try:
            return await times(box)
        finally:
            await box.close()

    found = asyncio.run(left())
    assert len(found) % 10 == 0
    assert len(found) >= (last + 1) * 10
    assert found == list(range(1000, 1000 + len(found)))
