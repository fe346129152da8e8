# mypy: ignore-errors
"""Whatever dies whenever: is no command written twice, and none lost?"""

import fakes
from bridge import config
from bridge.gateway import executePendingCommands
from orders import SETPOINT, order, several

CALLS = [
    "listGatewayUnsettled",
    "getPendingCommands",
    "readBlocking",
    "recordGatewayIntent",
    "writeBlocking",
    "markCommandExecuted",
    "markCommandFailed",
    "recordGatewayVerdicts",
    "settleGatewayCommand",
    "releaseGatewayCommands",
]


def _once(gateway, where, name, what):
    """Let `what` happen at the first call of `name`."""

    def happens():
        del where[name]
        what()

    where[name] = happens


def _run():
    try:
        executePendingCommands()
    except fakes.Killed:
        pass


def _until_quiet(gateway, rows, passes=4):
    for _ in range(passes):
        gateway.clock.now_s += config.LEASE_S
        for row in rows:
            row["approved_s"] = gateway.clock.now_s
        _run()


def it_writes_nothing_twice_and_loses_nothing_wherever_it_stops():
    for happening in (fakes.kill, fakes.fail(), fakes.fail(wrapped=False), fakes.fail_in_python):
        for name in CALLS:
            for side in ("before", "after"):
                gateway = fakes.fresh()
                rows = several(2)
                gateway.answers[rows[1]["facts"]["tag_path"]] = "Bad_NotWritable"
                if name.startswith("mark"):  # reached only where many at once are refused
                    gateway.before["recordGatewayVerdicts"] = fakes.fail("refused by a rule")
                _once(gateway, getattr(gateway, side), name, happening)
                _run()
                _until_quiet(gateway, rows)
                where = "%s %s %s" % (happening, side, name)
                paths = [path for path, _ in gateway.written]
                assert len(paths) == len(set(paths)), (where, gateway.written)
                for row in rows:
                    assert row["status"] in ("executed", "failed"), (where, row)
                    if row["status"] == "executed":
                        assert row["facts"]["tag_path"] in paths, (where, row)
                        assert gateway.tags[row["facts"]["tag_path"]] == 405.0, where


def it_settles_by_reading_back_when_it_died_between_write_and_mark():
    gateway = fakes.fresh()
    row = order()
    _once(gateway, gateway.before, "markCommandExecuted", fakes.kill)
    _run()
    assert row["status"] == "executing"
    assert gateway.tags[SETPOINT] == 405.0
    _run()
    assert row["status"] == "executing"  # not before the lease is over
    gateway.clock.now_s += config.LEASE_S
    gateway.calls = []
    _run()
    assert row["status"] == "executed"
    assert row["result"] == "written and read back: 405 kg/h; confirmed 30 s after sending"
    assert gateway.calls == [
        "listGatewayUnsettled",
        "readBlocking",
        "settleGatewayCommand",
        "getPendingCommands",
    ]
    assert len(gateway.written) == 1


def it_says_not_written_when_it_died_between_intent_and_write():
    gateway = fakes.fresh()
    row = order()
    _once(gateway, gateway.before, "writeBlocking", fakes.kill)
    _run()
    gateway.clock.now_s += config.LEASE_S
    _run()
    assert (row["status"], row["code"]) == ("failed", "not_confirmed")
    assert gateway.written == []


def it_writes_nothing_when_it_did_not_hear_that_its_intent_was_recorded():
    for side, status in (("before", "pending"), ("after", "executing")):
        gateway = fakes.fresh()
        row = order()
        _once(gateway, getattr(gateway, side), "recordGatewayIntent", fakes.fail("connection reset"))
        executePendingCommands()
        assert gateway.written == []
        assert row["status"] == status
    gateway.clock.now_s += config.LEASE_S
    executePendingCommands()
    assert (row["status"], row["code"]) == ("failed", "not_confirmed")
    assert gateway.written == []


def it_leaves_to_a_person_what_somebody_moved_meanwhile():
    gateway = fakes.fresh()
    row = order()
    _once(gateway, gateway.before, "markCommandExecuted", fakes.kill)
    _run()
    gateway.tags[SETPOINT] = 430.0
    _until_quiet(gateway, [row])
    assert (row["status"], row["code"]) == ("unknown", "not_confirmed")
    assert len(gateway.named("settleGatewayCommand")) == 1  # still unknown is no news
    gateway.tags[SETPOINT] = 405.0
    _run()
    assert row["status"] == "executed"
    assert len(gateway.written) == 1


def it_gives_back_and_does_again_what_died_before_its_intent():
    gateway = fakes.fresh()
    row = order()
    _once(gateway, gateway.before, "readBlocking", fakes.kill)
    _run()
    assert row["status"] == "executing"
    _until_quiet(gateway, [row], passes=1)
    assert row["status"] == "executed"
    assert len(gateway.written) == 1


def it_records_unknown_when_the_write_ends_in_an_exception_and_the_tag_kept_its_value():
    gateway = fakes.fresh()
    row = order()
    gateway.before["writeBlocking"] = fakes.fail("tag provider is shutting down")
    executePendingCommands()
    assert (row["status"], row["code"]) == ("unknown", "not_confirmed")
    assert "tag provider is shutting down" in row["result"]
    gateway.before.clear()
    executePendingCommands()
    assert row["status"] == "unknown"  # the old value tells nothing while the write may be on its way
    gateway.clock.now_s += config.LEASE_S
    executePendingCommands()
    assert (row["status"], row["code"]) == ("failed", "not_confirmed")
    assert gateway.written == []


def it_confirms_a_write_that_ended_in_an_exception_and_arrived_all_the_same():
    gateway = fakes.fresh()
    row = order()
    gateway.after["writeBlocking"] = fakes.fail("answer lost")
    executePendingCommands()
    assert row["status"] == "executed"
    assert "answer lost" in row["result"]


def it_survives_a_database_that_goes_away_in_the_middle():
    gateway = fakes.fresh()
    rows = several(20)
    for name in (
        "recordGatewayVerdicts",
        "markCommandExecuted",
        "listGatewayUnsettled",
        "getPendingCommands",
    ):
        gateway.before[name] = fakes.fail("terminating connection due to administrator command")
    del gateway.before["getPendingCommands"]
    executePendingCommands()
    assert len(gateway.written) == 20
    assert len(gateway.named("markCommandExecuted")) == 3  # then it is clear that nothing works
    gateway.before["getPendingCommands"] = fakes.fail("connection refused")
    executePendingCommands()
    gateway.before.clear()
    gateway.clock.now_s += config.LEASE_S
    executePendingCommands()
    assert set(row["status"] for row in rows) == set(["executed"])
    assert len(gateway.written) == 20


def it_records_the_others_when_one_verdict_is_refused():
    gateway = fakes.fresh()
    rows = several(5)
    gateway.before["recordGatewayVerdicts"] = fakes.fail("refused by a rule")
    _once(gateway, gateway.before, "markCommandExecuted", fakes.fail("refused by a rule"))
    executePendingCommands()
    assert sorted(row["status"] for row in rows) == ["executed"] * 4 + ["executing"]


def it_does_not_record_under_a_claim_that_was_lost():
    gateway = fakes.fresh()
    row = order()

    def somebody_else():
        row.update(status="unknown", result="settled by the bridge")

    _once(gateway, gateway.after, "writeBlocking", somebody_else)
    executePendingCommands()
    assert row["result"] == "settled by the bridge"
    assert len(gateway.written) == 1


def it_tells_which_of_many_verdicts_somebody_else_had_already_given():
    import bridge.gateway as script

    gateway = fakes.fresh()
    rows = several(3)
    _once(
        gateway,
        gateway.after,
        "writeBlocking",
        lambda: rows[1].update(status="unknown", result="by the bridge"),
    )
    executePendingCommands()
    assert [row["status"] for row in rows] == ["executed", "unknown", "executed"]
    warned = [text for level, text in script.LOGGER.lines if level == "warn"]
    assert len(warned) == 1, warned
    assert "command_id=C-2" in warned[0], warned
    assert "not recorded" in warned[0], warned


def it_tells_a_failure_once_and_its_end_once():
    gateway = fakes.fresh()
    import bridge.gateway as script

    gateway.before["getPendingCommands"] = fakes.fail("connection refused")
    for _ in range(5):
        executePendingCommands()
    gateway.before.clear()
    for _ in range(5):
        executePendingCommands()
    told = [(level, text.splitlines()[0]) for level, text in script.LOGGER.lines]
    assert [level for level, _ in told] == ["error", "info"], told
    assert "connection refused" in told[0][1], told
    assert told[1][1] == "execute.works_again"


def it_goes_on_executing_when_settling_fails():
    gateway = fakes.fresh()
    row = order()
    gateway.before["listGatewayUnsettled"] = fakes.fail("permission denied")
    executePendingCommands()
    assert row["status"] == "executed"


def it_speaks_under_another_name_in_every_claim():
    gateway = fakes.fresh()
    order(command_id="C-1", sequence=1)
    order(command_id="C-2", sequence=2, tag_path="[default]REACTOR_01/Other")
    executePendingCommands()
    names = set(row["claimed_by"] for row in gateway.commands)
    assert len(names) == 2
    assert all(name.startswith("gateway/TheProject/") for name in names)
