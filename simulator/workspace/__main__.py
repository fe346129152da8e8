"""``python -m simulator.workspace``: as ``python -m simulator workspace``, begun without a plant's libraries."""

from __future__ import annotations

import typer

from simulator.workspace.command import workspace

if __name__ == "__main__":
    typer.run(workspace)
