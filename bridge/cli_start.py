"""Where the console script begins: the command line is imported while the collector rests.

A third of each start was looking for garbage among what is imported and stays.
"""

from __future__ import annotations

import gc


def start() -> None:
    """Run the command line on the arguments of this process; never returns."""
    gc.disable()
    from bridge.cli import app

    gc.freeze()
    gc.enable()
    app()
