"""The standard address space of OPC UA from a file of an earlier start, instead of two seconds of work at each."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import platform
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_server import InternalServer

FOLDER: Final = Path(__file__).parent.parent.parent / "build"


class WarmServer(InternalServer):
    """asyncua's own, except that it remembers what every server begins with."""

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        """Fill the address space; `shelf_file` is asyncua's own and slower way to do this."""
        await fill(self.aspace, partial(super().load_standard_address_space, shelf_file))


async def fill(space: AddressSpace, build: Callable[[], Awaitable[None]]) -> None:
    """Fill an empty address space from the file, or by `build`, and then make the file.

    The file is a pickle, so it lies in this project's own folder, and its name says who made it: another
    version of asyncua or of Python makes its own. Where it cannot be written, every start takes its time.
    """
    made = FOLDER / f"address-space-asyncua-{version('asyncua')}-python-{platform.python_version()}.pickle"
    if not await asyncio.to_thread(_load, space, made):
        await build()
        with contextlib.suppress(OSError):
            await asyncio.to_thread(_save, space, made)


def _load(space: AddressSpace, made: Path) -> bool:
    collecting = gc.isenabled()
    gc.disable()  # six thousand nodes and no garbage among them
    try:
        space.load(made)
    except FileNotFoundError:
        return False
    finally:
        if collecting:
            gc.enable()
    return True


def _save(space: AddressSpace, made: Path) -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        begun = Path(folder) / made.name
        space.dump(begun)
        begun.replace(made)  # whole or not at all, for those who start at the same time
