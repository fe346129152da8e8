"""Delta tables, forward only: one statement a file, in order, each remembered once it has run.

Delta has no transaction over a statement and the record that it ran. So every file can run twice: tables are made if
they are not there, rows are merged, and a constraint that is there already is as good as one just made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.domain.tag import Tag
from bridge.errors import BridgeError, SchemaError
from bridge.ports import Clock
from bridge.store.desk import limit_values
from bridge.store.migrate import Migration, SchemaStatus, compared, migrations
from bridge.store.queries import Queries
from bridge.store.warehouse_audit import AuditTrail, Event
from bridge.store.warehouse_connection import Warehouse
from bridge.store.warehouse_statement import Marker, Statement

FOLDER = Path(__file__).parent / "delta"

_WITHDRAWN_AT_ONCE = 200  # a statement takes some 250 values
_NO_TABLE = "42P01"
_THERE_ALREADY = "ALREADY_EXISTS"
_BOOKS = (
    "create table if not exists bridge_migrations (number int not null, name string not null, digest string not null,"
    " applied_timestamp timestamp not null) using delta"
)
_RAN = "select name, digest from bridge_migrations order by number"


async def warehouse_status(db: Warehouse, folder: Path = FOLDER) -> SchemaStatus:
    """Compare the warehouse with the files; without any table of ours everything waits. One statement."""
    ran: dict[str, str] = {}
    try:
        answer = await db.execute(Statement(text=_RAN, markers=()), "schema status")
        ran = {row["name"]: row["digest"] for row in answer.rows}
    except SchemaError as problem:
        if _NO_TABLE not in str(problem):
            raise
    return compared(migrations(folder), ran)


async def migrate_warehouse(db: Warehouse, folder: Path = FOLDER) -> tuple[str, ...]:
    """Run what waits, as the owner; returns the names that ran now (empty: nothing waited).

    A migration that fails leaves those before it. Two at once end as one: each statement can run twice.
    SchemaError when a file was edited after it ran: write a new one instead.
    """
    await db.execute(Statement(text=_BOOKS, markers=()), "migrate")
    status = await warehouse_status(db, folder)
    if status.edited:
        raise SchemaError(
            f"these migrations were changed after they ran, or are unknown here: {', '.join(status.edited)}; "
            "migrations only go forward, so add a new file instead"
        )
    ran: list[Migration] = []
    try:
        for migration in migrations(folder):
            if migration.name in status.waiting:
                await _run_once(db, migration)
                ran.append(migration)
    finally:
        # In one statement, for each is a round trip: what is not remembered runs again, and does no harm.
        if ran:
            await db.execute(_remembering(ran), "migrate")
    return tuple(migration.name for migration in ran)


async def _run_once(db: Warehouse, migration: Migration) -> None:
    try:
        await db.execute(Statement(text=migration.sql.strip(), markers=()), migration.name)
    except BridgeError as problem:
        if _THERE_ALREADY not in str(problem):
            raise


def _remembering(ran: Sequence[Migration]) -> Statement:
    rows = ", ".join(f"(:name_{place}, :number_{place}, :digest_{place})" for place in range(len(ran)))
    markers = [
        marker
        for place, migration in enumerate(ran)
        for marker in (
            Marker(name=f"name_{place}", type="STRING", value=migration.name),
            Marker(name=f"number_{place}", type="INT", value=migration.number),
            Marker(name=f"digest_{place}", type="STRING", value=migration.digest),
        )
    ]
    return Statement(
        text="merge into bridge_migrations as m"
        f" using (select * from values {rows} as v (name, number, digest)) as n on m.name = n.name"
        " when not matched then insert (number, name, digest, applied_timestamp)"
        " values (n.number, n.name, n.digest, current_timestamp())",
        markers=tuple(markers),
    )


async def publish_on_warehouse(
    db: Warehouse, queries: Queries, writable: Sequence[Tag], clock: Clock
) -> tuple[int, list[str]]:
    """Make the warehouse's allow-list equal to the configured one, as the owner.

    Returns how many tags are listed now and which were withdrawn. Each change is in the audit trail. Not one
    transaction: new limits come first, so that for a moment a tag to be withdrawn may still be listed.
    """
    there = {row["tag_path"]: row for row in await db.fetch(queries.limits.list_limits)}
    events = []
    for tag in writable:
        wanted, before = limit_values(tag), there.get(tag.path)
        if before is not None and all(before[name] == value for name, value in wanted.items()):
            continue
        await db.change(queries.limits.publish_limit, **wanted)
        was = {} if before is None else {"was": {name: before[name] for name in wanted}}
        events.append(_limits_event("limits.published", tag.path, {**wanted, **was}))
    stays = {tag.path for tag in writable}
    gone = sorted(there.keys() - stays)
    for begin in range(0, len(gone), _WITHDRAWN_AT_ONCE):
        await db.change(queries.limits.withdraw_limits, withdrawn=gone[begin : begin + _WITHDRAWN_AT_ONCE])
    if gone:
        events += [
            _limits_event("limits.withdrawn", path, {"equipment_id": there[path]["equipment_id"]})
            for path in gone
        ]
    await AuditTrail(db, queries, clock.now_utc).append(events, demanded=True)
    return len(writable), gone


def _limits_event(action: str, path: str, detail: Mapping[str, object]) -> Event:
    return Event(actor="", action=action, object_type="tag", object_id=path, detail=detail)
