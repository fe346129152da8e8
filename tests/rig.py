"""The hands of the parties on one real database: raw SQL as anybody could send it, with no bridge in between."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.rows import dict_row

from bridge.store.postgres import PostgresStore

Row = dict[str, Any]
Connection = psycopg.Connection[Row]
Write = dict[str, object]
OpenStore = Callable[..., Awaitable[PostgresStore]]

THROUGHPUT = "[default]REACTOR_01/ThroughputSetpoint"  # Float, 100 to 800 kg/h, steps up to 400
COOLING = "[default]REACTOR_01/CoolingOn"  # Boolean
STAGE = "[default]REACTOR_01/Stage"  # Int16, 0 to 10, published by the tests that need it

REFUSED = "BR001"
NOT_PERMITTED = "42501"


def connect(url: str, role: str | None = None) -> Connection:
    """A raw connection in autocommit, acting as `role` (None: the owner)."""
    connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
    connection.execute("set timezone to 'UTC'")
    if role is not None:
        connection.execute("select set_config('role', %s, false)", (role,))
    return connection


def sql(text: str) -> LiteralString:
    """Tests put statements together from their own parameters; psycopg wants to be told that this is meant."""
    return text


def one_write(
    tag_path: str = THROUGHPUT, present: object = 450.0, target: object = 405.0, unit: str = "kg/h"
) -> Write:
    """One entry of proposed_writes; by default what the medium remedy asks of REACTOR_01."""
    return {"tag_path": tag_path, "from": present, "to": target, "unit": unit}


@contextmanager
def refused(code: str, sqlstate: str = REFUSED) -> Iterator[None]:
    """The block must be refused by the database, under this very name."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    assert (caught.value.sqlstate, caught.value.diag.message_detail) == (sqlstate, code), str(caught.value)


@contextmanager
def denied() -> Iterator[None]:
    """The block must fail for want of a right (SQLSTATE 42501)."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    assert caught.value.sqlstate == NOT_PERMITTED, str(caught.value)


class Hands:
    """Agent, operator and owner of one database, and the legal paths into every state."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: dict[str | None, Connection] = {}
        self._machines = 0

    @property
    def owner(self) -> Connection:
        return self._as(None)

    @property
    def agent(self) -> Connection:
        return self._as("bridge_agent")

    @property
    def operator(self) -> Connection:
        return self._as("bridge_operator")

    def _as(self, role: str | None) -> Connection:
        if role not in self._opened:
            self._opened[role] = connect(self.url, role)
        return self._opened[role]

    def close(self) -> None:
        for connection in self._opened.values():
            connection.close()

    # Looking

    def recommendation(self, recommendation_id: str) -> Row:
        return self._one(
            "select * from agent_recommendations where recommendation_id = %s", recommendation_id
        )

    def command(self, command_id: str) -> Row:
        return self._one("select * from agent_commands where command_id = %s", command_id)

    def commands_of(self, recommendation_id: str) -> list[Row]:
        return self.owner.execute(
            "select * from agent_commands where recommendation_id = %s order by sequence",
            (recommendation_id,),
        ).fetchall()

    def trail(self, recommendation_id: str) -> list[Row]:
        return self.owner.execute(
            "select * from agent_audit where recommendation_id = %s order by seq", (recommendation_id,)
        ).fetchall()

    def value(self, text: str, *values: object) -> Any:
        """The single value of a query, as the owner sees it."""
        row = self.owner.execute(sql(text), values).fetchone()
        assert row is not None
        return next(iter(row.values()))

    def _one(self, text: str, *values: object) -> Row:
        row = self.owner.execute(sql(text), values).fetchone()
        assert row is not None, f"no row for {values}"
        return row

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """No row of recommendation, command, approval or audit may differ after the block."""
        before = self._everything()
        yield
        assert self._everything() == before

    @contextmanager
    def refuses(self, code: str, sqlstate: str = REFUSED) -> Iterator[None]:
        """A refusal by name that leaves every row as it was."""
        with self.unchanged(), refused(code, sqlstate):
            yield

    def _everything(self) -> list[list[Row]]:
        return [
            self.owner.execute(sql(f"select * from {table} order by 1, 2, 3")).fetchall()
            for table in ("agent_recommendations", "agent_commands", "approvals", "agent_audit")
        ]

    # Acting

    def publish(
        self,
        tag_path: str,
        *,
        equipment_id: str = "REACTOR_01",
        route: str = "opcua",
        data_type: str = "Double",
        unit: str = "",
        low: float = 0,
        high: float = 1000,
        max_step: float | None = None,
    ) -> None:
        """Put one more tag on the allow-list, as the owner."""
        self.owner.execute(
            "insert into tag_limits (tag_path, equipment_id, route, data_type, unit, low, high, max_step,"
            " min_interval_s, max_writes_per_hour, max_age_s, tolerance)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, 0, 100, 30, 0.5)",
            (tag_path, equipment_id, route, data_type, unit, low, high, max_step),
        )

    def machine(self, *, writes: int = 1, route: str = "opcua") -> tuple[str, list[Write]]:
        """A fresh piece of equipment with so many writable tags, and a write for each."""
        self._machines += 1
        equipment_id = f"MACHINE_{self._machines:03d}"
        tags = [f"[default]{equipment_id}/Speed{number}" for number in range(1, writes + 1)]
        for tag in tags:
            self.publish(tag, equipment_id=equipment_id, route=route, unit="rpm")
        return equipment_id, [one_write(tag, 500.0, 400.0, "rpm") for tag in tags]

    def propose(
        self,
        *,
        equipment_id: str = "REACTOR_01",
        issue_type: str = "high_temperature",
        writes: object = None,
        approvals_required: int = 1,
    ) -> str:
        """A pending recommendation of the agent's; by default one write to REACTOR_01."""
        row = self.agent.execute(
            "insert into agent_recommendations (equipment_id, issue_type, severity, recommended_action,"
            " proposed_writes, approvals_required, created_by_agent)"
            " values (%s, %s, 'high', 'Reduce throughput', %s::jsonb, %s, 'operations-agent')"
            " returning recommendation_id",
            (
                equipment_id,
                issue_type,
                json.dumps([one_write()] if writes is None else writes),
                approvals_required,
            ),
        ).fetchone()
        assert row is not None
        return str(row["recommendation_id"])

    def propose_elsewhere(self, *, writes: int = 1, route: str = "opcua", approvals_required: int = 1) -> str:
        """A pending recommendation for a fresh piece of equipment, so that many can stand side by side."""
        equipment_id, entries = self.machine(writes=writes, route=route)
        return self.propose(equipment_id=equipment_id, writes=entries, approvals_required=approvals_required)

    def approve(self, recommendation_id: str, by: str = "anna") -> None:
        """The old-style approval, as Ignition sends it."""
        self.approve_as(self.operator, recommendation_id, by)

    def approve_as(self, connection: Connection, recommendation_id: str, by: str) -> None:
        connection.execute(
            "update agent_recommendations set status = 'approved', approved_by_operator = %s"
            " where recommendation_id = %s",
            (by, recommendation_id),
        )

    def revise(self, recommendation_id: str, writes: Sequence[Write]) -> None:
        self.agent.execute(
            "update agent_recommendations set proposed_writes = %s::jsonb where recommendation_id = %s",
            (json.dumps(writes), recommendation_id),
        )

    def begin(self, recommendation_id: str) -> list[str]:
        """Approved becomes executing, with its commands; their ids in order."""
        with self.agent.transaction():
            self.agent.execute(
                "update agent_recommendations set status = 'executing' where recommendation_id = %s",
                (recommendation_id,),
            )
            for write in self.recommendation_writes(recommendation_id):
                self.insert_command(recommendation_id, str(write["tag_path"]), float(write["to"]))
        return [row["command_id"] for row in self.commands_of(recommendation_id)]

    def recommendation_writes(self, recommendation_id: str) -> list[dict[str, Any]]:
        return list(self.recommendation(recommendation_id)["proposed_writes"])

    def insert_command(self, recommendation_id: str, tag_path: str, new_value: float) -> None:
        """A command with the old columns only."""
        self.agent.execute(
            "insert into agent_commands (recommendation_id, equipment_id, tag_path, new_value, created_by_agent)"
            " values (%s, 'as the trigger says', %s, %s, 'operations-agent')",
            (recommendation_id, tag_path, new_value),
        )

    def claim(self, command_id: str, *, by: str = "bridge/1", lease_s: float = 15.0) -> None:
        self._party(command_id).execute(
            "update agent_commands set status = 'executing', claimed_by = %s,"
            " lease_expires_at = clock_timestamp() + make_interval(secs => %s) where command_id = %s",
            (by, lease_s, command_id),
        )

    def send(self, command_id: str) -> None:
        self._party(command_id).execute(
            "update agent_commands set sent_timestamp = clock_timestamp() where command_id = %s",
            (command_id,),
        )

    def end(self, command_id: str, status: str, *, read_back: float | None = None) -> None:
        self._party(command_id).execute(
            "update agent_commands set status = %s, execution_result = 'said by the test',"
            " read_back_value = coalesce(%s, read_back_value) where command_id = %s",
            (status, read_back, command_id),
        )

    def _party(self, command_id: str) -> Connection:
        """Whoever may execute it: the gateway's role for its own route, the agent's for every other."""
        return self.operator if self.command(command_id)["route"] == "gateway" else self.agent

    def let_lease_end(self, command_id: str) -> None:
        """What waiting would do: the lease lies in the past."""
        self._turn_back("agent_commands", "lease_expires_at", "command_id", command_id)

    def let_expire(self, recommendation_id: str) -> None:
        """What waiting would do: the answer comes too late."""
        self._turn_back("agent_recommendations", "expires_at", "recommendation_id", recommendation_id)

    def let_approval_lapse(self, recommendation_id: str) -> None:
        """What waiting would do: the approval is a day old."""
        self._turn_back("agent_recommendations", "approved_timestamp", "recommendation_id", recommendation_id)

    def let_deferral_end(self, recommendation_id: str) -> None:
        self._turn_back("agent_recommendations", "defer_until", "recommendation_id", recommendation_id)

    def _turn_back(self, table: str, column: str, key: str, value: str) -> None:
        """Time cannot be turned in PostgreSQL, so a superuser moves the moment, with the triggers off."""
        with self.owner.transaction():
            self.owner.execute("set local session_replication_role = replica")
            self.owner.execute(
                sql(f"update {table} set {column} = {column} - interval '1 day' where {key} = %s"), (value,)
            )

    # Legal paths into every state

    def recommendation_in(self, status: str) -> str:
        """A recommendation for a fresh piece of equipment, brought into `status` by legal steps."""
        made = self.propose_elsewhere()
        decide = "update agent_recommendations set status = %s, decided_by_operator = 'anna',"
        if status == "deferred":
            self.operator.execute(
                sql(f"{decide} defer_until = now() + interval '1 hour' where recommendation_id = %s"),
                (status, made),
            )
        elif status == "rejected":
            self.operator.execute(
                sql(f"{decide} rejection_reason = 'not now' where recommendation_id = %s"), (status, made)
            )
        elif status == "superseded":
            self._end_recommendation(made, status)
        elif status != "pending":
            self.approve(made)
            if status == "expired":
                self._end_recommendation(made, status)
            elif status != "approved":
                command = self.begin(made)[0]
                self.claim(command)
                self.send(command)
                self.end(command, "failed" if status == "failed" else "executed", read_back=400.0)
                if status != "executing":
                    self._end_recommendation(made, status)
        assert self.recommendation(made)["status"] == status
        return made

    def _end_recommendation(self, recommendation_id: str, status: str) -> None:
        self.agent.execute(
            "update agent_recommendations set status = %s, execution_result = 'said by the test'"
            " where recommendation_id = %s",
            (status, recommendation_id),
        )

    def command_in(self, status: str, *, sent: bool = True, route: str = "opcua") -> str:
        """A command on a fresh tag, brought into `status` by legal steps; `sent` matters for executing."""
        made = self.propose_elsewhere(route=route)
        self.approve(made)
        command = self.begin(made)[0]
        if status == "cancelled":
            self.end(command, status)
        elif status != "pending":
            self.claim(command)
            if sent:
                self.send(command)
            if status != "executing":
                self.end(command, status, read_back=400.0)
        assert self.command(command)["status"] == status
        return command
