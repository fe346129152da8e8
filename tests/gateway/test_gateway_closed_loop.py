"""Does the project as built execute approved commands through the gateway, once, and tell the truth about it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rig import Hands, Row, sql

from bridge.ignition.build import Target
from gateway.closed_loop import (
    PASS,
    built_project,
    cooling_write,
    gateway_for,
    list_tags,
    names,
    reactor_tags,
    throughput,
    throughput_write,
    writes_at,
)
from simulator.gateway.process import GatewayProcess, OrderRefused
from simulator.process import PlantProcess

COUNT = 20


class Floor:
    """A gateway whose timers wait for orders, the plant behind it, and the hands on its database."""

    def __init__(self, gateway: GatewayProcess, hands: Hands, write_log: Path) -> None:
        self.gateway = gateway
        self.hands = hands
        self._write_log = write_log
        self._fresh = iter(names(COUNT, COUNT))

    def reactor(self) -> str:
        """One that no other test has touched: 500 kg/h, cooling off."""
        return next(self._fresh)

    def approved(self, *writes: dict[str, object], reactor: str) -> str:
        made = self.hands.propose(equipment_id=reactor, writes=list(writes))
        self.hands.approve(made)
        self.hands.begin(made)
        return made

    def run(self) -> None:
        self.gateway.run_timer(PASS)

    def commands(self, recommendation_id: str) -> list[Row]:
        return self.hands.commands_of(recommendation_id)

    def only(self, recommendation_id: str) -> Row:
        (command,) = self.commands(recommendation_id)
        return command

    def writes(self, reactor: str) -> list[tuple[str, object]]:
        return writes_at(self._write_log, reactor)

    def let_a_minute_pass(self, recommendation_id: str) -> None:
        """What waiting would do: leases end, and what was sent was sent a minute ago."""
        with self.hands.owner.transaction():
            self.hands.owner.execute("set local session_replication_role = replica")
            self.hands.owner.execute(
                sql(
                    "update agent_commands set lease_expires_at = lease_expires_at - interval '1 minute',"
                    " sent_timestamp = sent_timestamp - interval '1 minute' where recommendation_id = %s"
                ),
                (recommendation_id,),
            )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_project(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def floor(
    archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
    fresh_database: Callable[..., str],
) -> Iterator[Floor]:
    place, url = tmp_path_factory.mktemp("loop"), fresh_database()
    tags = reactor_tags(place / "tags.json", names(COUNT, COUNT))
    hands = Hands(url)
    list_tags(hands, names(COUNT, COUNT))
    log = place / "writes.jsonl"
    with (
        PlantProcess.start("--equipment", str(COUNT), "--tick", "1", "--write-log", str(log)) as plant,
        gateway_for(archive, tags, url, plant, "--hold-timers") as gateway,
    ):
        yield Floor(gateway, hands, log)
    hands.close()


def test_approved_writes_are_executed_and_read_back(floor: Floor) -> None:
    """Both writes of an approved recommendation must reach the plant in their order and be verified."""
    reactor = floor.reactor()
    made = floor.approved(throughput_write(reactor), cooling_write(reactor), reactor=reactor)
    floor.run()
    first, second = floor.commands(made)
    assert (first["status"], first["read_back_value"]) == ("executed", 450.0)
    assert (second["status"], second["read_back_value"]) == ("executed", 1.0)
    assert floor.writes(reactor) == [("ThroughputSetpoint", 450.0), ("CoolingOn", True)]
    floor.run()
    assert len(floor.writes(reactor)) == 2


def test_nothing_is_written_without_an_approval(floor: Floor) -> None:
    reactor = floor.reactor()
    floor.hands.propose(equipment_id=reactor, writes=[throughput_write(reactor)])
    floor.run()
    assert floor.writes(reactor) == []


@pytest.mark.parametrize(
    ("fault", "writes", "status"),
    [("kill_script_after_write", 1, "executed"), ("kill_script_before_write", 0, "failed")],
)
def test_a_script_that_dies_around_the_write_never_writes_again(
    floor: Floor, fault: str, writes: int, status: str
) -> None:
    """The command must wait for its lease to end, and then be settled by what the tag shows."""
    reactor = floor.reactor()
    made = floor.approved(throughput_write(reactor), reactor=reactor)
    floor.gateway.order(f"fault {fault}")
    with pytest.raises(OrderRefused, match="the JVM died"):
        floor.run()
    command = floor.only(made)
    assert (command["status"], command["sent_timestamp"] is not None) == ("executing", True)
    floor.run()
    assert floor.only(made)["status"] == "executing"
    floor.let_a_minute_pass(made)
    floor.run()
    assert floor.only(made)["status"] == status
    floor.run()
    assert len(floor.writes(reactor)) == writes


def test_a_write_that_is_refused_fails_and_says_so(floor: Floor) -> None:
    reactor = floor.reactor()
    made = floor.approved(throughput_write(reactor), reactor=reactor)
    floor.gateway.order(f"fault tag_not_writable {throughput(reactor)}")
    floor.run()
    command = floor.only(made)
    assert (command["status"], command["result_code"]) == ("failed", "refused_by_server")
    assert "Bad_NotWritable" in command["execution_result"]
    assert floor.writes(reactor) == []
    floor.gateway.order("clear tag_not_writable")


def test_good_with_another_value_read_back_is_no_success(floor: Floor) -> None:
    reactor = floor.reactor()
    made = floor.approved(throughput_write(reactor), reactor=reactor)
    floor.gateway.order(f"fault write_other_value {throughput(reactor)}")
    floor.run()
    command = floor.only(made)
    assert (command["status"], command["result_code"]) == ("failed", "read_back_differs")
    assert command["read_back_value"] == 449.0
    floor.gateway.order("clear write_other_value")
    floor.run()
    assert floor.writes(reactor) == [("ThroughputSetpoint", 449.0)]


def test_a_stale_tag_is_not_written(floor: Floor) -> None:
    reactor = floor.reactor()
    made = floor.approved(throughput_write(reactor), reactor=reactor)
    floor.gateway.order(f"fault tag_stale {throughput(reactor)}")
    floor.run()
    assert (floor.only(made)["status"], floor.only(made)["result_code"]) == ("failed", "bad_quality")
    assert floor.writes(reactor) == []
    floor.gateway.order("clear tag_stale")


def test_a_database_that_goes_between_write_and_verdict_loses_nothing(floor: Floor) -> None:
    """The write has happened, nobody can record it; when the database is back it must be read back, not repeated."""
    reactor = floor.reactor()
    made = floor.approved(throughput_write(reactor), reactor=reactor)
    floor.gateway.order("fault jdbc_down_after_write")
    floor.run()
    assert floor.only(made)["status"] == "executing"
    floor.run()
    assert "refused" in floor.gateway.log()
    floor.gateway.order("clear jdbc_down")
    floor.let_a_minute_pass(made)
    floor.run()
    assert floor.only(made)["status"] == "executed"
    assert floor.writes(reactor) == [("ThroughputSetpoint", 450.0)]


def test_a_database_that_is_away_before_leaves_the_command_for_later(floor: Floor) -> None:
    reactor = floor.reactor()
    made = floor.approved(throughput_write(reactor), reactor=reactor)
    floor.gateway.order("fault jdbc_down")
    floor.run()
    assert floor.only(made)["status"] == "pending"
    floor.gateway.order("clear jdbc_down")
    floor.run()
    assert floor.only(made)["status"] == "executed"


def test_a_silent_agent_is_shown_by_a_tag(floor: Floor) -> None:
    floor.gateway.run_timer("Watch Agent")
    assert floor.gateway.read("[default]Bridge/Agent/Online") == (False, "Good")


def test_the_project_runs_on_8_1_by_its_manual_step(
    tmp_path: Path, fresh_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On 8.1 the same library must do the same, called from a timer made by hand."""
    archive = built_project(tmp_path_factory.mktemp("built81"), Target.V81)
    hands = Hands(fresh_database())
    (reactor,) = names(1, 1)
    list_tags(hands, [reactor])
    log = tmp_path / "writes.jsonl"
    timer = f"{PASS.replace(' ', '')} 2000 bridge.gateway.executePendingCommands()"
    with (
        PlantProcess.start("--equipment", "1", "--tick", "1", "--write-log", str(log)) as plant,
        gateway_for(
            archive,
            reactor_tags(tmp_path / "tags.json", [reactor]),
            hands.url,
            plant,
            *("--hold-timers", "--target", "8.1", "--timer", timer),
        ) as gateway,
    ):
        made = hands.propose(equipment_id=reactor, writes=[throughput_write(reactor)])
        hands.approve(made)
        (command,) = hands.begin(made)
        gateway.run_timer(PASS.replace(" ", ""))
        assert hands.command(command)["status"] == "executed"
        assert writes_at(log, reactor) == [("ThroughputSetpoint", 450.0)]
    hands.close()
