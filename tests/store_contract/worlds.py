"""The stores under contract, each with the owner's hands beside it: what waiting, others and vandals would do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from rig import connect, sql

from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.plant import Plant
from bridge.ports import Store
from bridge.settings import AgentSettings, StoreSettings
from bridge.store import promises
from bridge.store.connection import Database
from bridge.store.desk import Desk
from bridge.store.postgres import PostgresStore
from bridge.store.promises import Keeper, Promise
from bridge.store.queries import Queries
from bridge.store.warehouse import WarehouseStore
from bridge.store.warehouse_connection import Warehouse, WarehouseAddress
from bridge.store.warehouse_desk import WarehouseDesk
from bridge.store.warehouse_migrate import migrate_warehouse, publish_on_warehouse
from simulator.workspace import warehouse as simulated

Row = dict[str, Any]


class World(Protocol):
    """A store with the example plant's limits published, a desk on it, and the owner's hands."""

    promises: tuple[Promise, ...]

    async def store(self, **agent: object) -> Store:
        """The agent's store; keyword arguments go to AgentSettings."""
        ...

    async def desk(self) -> Desk | WarehouseDesk:
        """The operator's desk."""
        ...

    def rows(self, table: str, **where: object) -> list[Row]:
        """Rows of a table whose columns have these values, as the owner sees them."""
        ...

    def insert(self, table: str, **values: object) -> None:
        """A row as another client inserts it."""
        ...

    def turn_back(self, table: str, column: str, **where: object) -> None:
        """What waiting would do: a moment lies a day earlier."""
        ...

    def tamper(self, table: str, column: str, value: object, **where: object) -> None:
        """A change by plain SQL, past every rule."""
        ...

    def asked(self) -> int:
        """Statements that the agent's stores have sent since the start."""
        ...


def keeper(world: World, name: str) -> Keeper:
    """Who keeps this promise on this store."""
    return next(promise.keeper for promise in world.promises if promise.name == name)


class OnPostgres:
    """The real store on a real PostgreSQL."""

    promises = promises.POSTGRES

    def __init__(self, url: str, named: Queries) -> None:
        self._url = url
        self._named = named
        self._opened: list[PostgresStore | Database] = []
        self._owner = connect(url)
        self._calls = 0
        self._operators: Database | None = None

    async def store(self, **agent: object) -> Store:
        world = self

        class Counted(Database):
            async def fetch(self, query: Any, **values: object) -> list[Row]:
                world._calls += 1
                return await super().fetch(query, **values)

            async def run_together(self, *steps: Any) -> list[list[Row]]:
                world._calls += 1
                return await super().run_together(*steps)

        database = Counted(
            self._url, role=Role.AGENT, size=4, connect_timeout_s=5.0, statement_timeout_s=10.0
        )
        store = PostgresStore(database, self._named, AgentSettings.model_validate(agent), StoreSettings())
        self._opened.append(store)
        await store.open()
        return store

    async def desk(self) -> Desk:
        """All desks share two connections, as on the warehouse."""
        if self._operators is None:
            self._operators = Database(
                self._url, role=Role.OPERATOR, size=2, connect_timeout_s=5.0, statement_timeout_s=10.0
            )
            self._opened.append(self._operators)
            await self._operators.open()
        return Desk(self._operators, self._named)

    def rows(self, table: str, **where: object) -> list[Row]:
        return self._owner.execute(
            sql(f"select * from {table} where true {_conditions(where, '%({})s')} order by 1"), where
        ).fetchall()

    def insert(self, table: str, **values: object) -> None:
        names = ", ".join(values)
        marks = ", ".join(f"%({name})s" for name in values)
        self._owner.execute(sql(f"insert into {table} ({names}) values ({marks})"), values)

    def turn_back(self, table: str, column: str, **where: object) -> None:
        self._past_the_rules(f"update {table} set {column} = {column} - interval '1 day'", where)

    def tamper(self, table: str, column: str, value: object, **where: object) -> None:
        self._past_the_rules(f"update {table} set {column} = %(new)s", {**where, "new": value})

    def _past_the_rules(self, text: str, values: Mapping[str, object]) -> None:
        where = {name: value for name, value in values.items() if name != "new"}
        with self._owner.transaction():
            self._owner.execute("set local session_replication_role = replica")
            self._owner.execute(sql(f"{text} where true {_conditions(where, '%({})s')}"), values)

    def asked(self) -> int:
        return self._calls

    async def close(self) -> None:
        for opened in self._opened:
            await opened.close()
        self._owner.close()


class Token:
    """A login with a token that never ends."""

    def __init__(self, token: str) -> None:
        self.token = token

    def headers(self, *, budget_s: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def renew(self, refused: Mapping[str, str], *, budget_s: float) -> bool:
        return False


class OnWarehouse:
    """The real store through the real connector, on a simulated warehouse."""

    promises = promises.WAREHOUSE

    def __init__(self, server: simulated.Warehouse, queries: Queries) -> None:
        self.server = server
        self._queries = queries
        self._opened: list[WarehouseStore | Warehouse] = []
        self._agents: list[Warehouse] = []
        self._operators: Warehouse | None = None

    def connection(self, role: Role | None, *, size: int = 2, statement_timeout_s: float = 20.0) -> Warehouse:
        """A connection as one of the parties."""
        address = WarehouseAddress(
            host="127.0.0.1",
            http_path=self.server.http_path,
            connection_uri=self.server.http_uri,
            login=Token("a token"),
            catalog="main",
            schema="default",
        )
        db = Warehouse(address, role=role, size=size, statement_timeout_s=statement_timeout_s)
        self._opened.append(db)
        return db

    async def prepare(self, plant: Plant) -> None:
        """Tables and limits, as the owner makes them."""
        owner = self.connection(None)
        await migrate_warehouse(owner)
        await publish_on_warehouse(owner, self._queries, plant.writable, SystemClock())

    async def store(self, **agent: object) -> WarehouseStore:
        db = self.connection(Role.AGENT)
        self._agents.append(db)
        store = WarehouseStore(
            db, self._queries, AgentSettings.model_validate(agent), StoreSettings(), SystemClock()
        )
        self._opened.append(store)
        await store.open()
        return store

    async def desk(self) -> WarehouseDesk:
        """All desks share two connections: making one costs more than what is asked over it."""
        if self._operators is None:
            self._operators = self.connection(Role.OPERATOR)
        return WarehouseDesk(self._operators, self._queries, SystemClock())

    def sql(self, text: str, **values: object) -> list[Row]:
        """A statement of the owner's, past the wire."""
        result = self.server.run_sql(text, values)
        return [
            dict(zip([column.name for column in result.columns], row, strict=True)) for row in result.rows
        ]

    def rows(self, table: str, **where: object) -> list[Row]:
        return self.sql(f"select * from {table} where true {_conditions(where, ':{}')} order by 1", **where)

    def insert(self, table: str, **values: object) -> None:
        marks = ", ".join(f":{name}" for name in values)
        names = ", ".join(f"`{name}`" for name in values)
        self.sql(f"insert into {table} ({names}) values ({marks})", **values)

    def turn_back(self, table: str, column: str, **where: object) -> None:
        self.sql(
            f"update {table} set {column} = {column} - interval '1' day where true {_conditions(where, ':{}')}",
            **where,
        )

    def tamper(self, table: str, column: str, value: object, **where: object) -> None:
        self.sql(
            f"update {table} set {column} = :new where true {_conditions(where, ':{}')}", new=value, **where
        )

    def asked(self) -> int:
        return sum(db.asked for db in self._agents)

    async def close(self) -> None:
        for opened in self._opened:
            await opened.close()


def _conditions(where: Mapping[str, object], mark: str) -> str:
    return "".join(f" and {name} = {mark.format(name)}" for name in where)


def now_utc() -> datetime:
    """This very moment."""
    return datetime.now(UTC)


def in_json(value: object) -> Any:
    """What is stored as JSON, whichever way the store gives it back."""
    return json.loads(value) if isinstance(value, str) else value
