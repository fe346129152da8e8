# mypy: ignore-errors
"""Does an approved command reach its tag once, with its intent on record first, and does its row say how it went?"""

import fakes
from bridge import config
from bridge.gateway import executePendingCommands
from orders import COOLING, SETPOINT, order, several

IN_ORDER = [
    "listGatewayUnsettled",
    "getPendingCommands",
    "readBlocking",
    "recordGatewayIntent",
    "writeBlocking",
    "readBlocking",
    "markCommandExecuted",
    "getPendingCommands",
]


def _ended(row):
    return row["status"], row.get("code")


def it_records_the_intent_before_the_write_and_the_verdict_after_the_read_back():
    for version in (fakes.as_81, fakes.as_83):
        gateway = fakes.fresh()
        version()
        row = order()
        executePendingCommands()
        assert gateway.calls == IN_ORDER, gateway.calls
        assert gateway.written == [(SETPOINT, 405.0)]
        assert _ended(row) == ("executed", None)
        assert (row["result"], row["read_back"]) == ("written and read back: 405 kg/h", 405.0)
    fakes.as_81()


def it_asks_two_questions_when_there_is_nothing_to_do():
    gateway = fakes.fresh()
    executePendingCommands()
    assert gateway.calls == ["listGatewayUnsettled", "getPendingCommands"]


def it_writes_a_boolean_as_a_boolean():
    gateway = fakes.fresh()
    row = order(tag_path=COOLING, unit="", limits_unit="", data_type="Boolean", low=0.0, high=1.0,
                expected_value=0.0, new_value=1.0, tolerance=0.0)  # fmt: skip
    executePendingCommands()
    assert gateway.written == [(COOLING, True)]
    assert gateway.written[0][1] is True
    assert (row["status"], row["read_back"]) == ("executed", 1.0)


def it_does_the_second_write_only_after_the_first_was_executed():
    gateway = fakes.fresh()
    first = order(command_id="C-1", sequence=1)
    second = order(command_id="C-2", sequence=2, tag_path="[default]REACTOR_01/Other")
    executePendingCommands()
    assert [path for path, _ in gateway.written] == [SETPOINT, "[default]REACTOR_01/Other"]
    assert first["status"] == second["status"] == "executed"
    gateway = fakes.fresh()
    order(command_id="C-1", sequence=1)
    second = order(command_id="C-2", sequence=2, tag_path="[default]REACTOR_01/Other")
    gateway.answers[SETPOINT] = "Bad_NotWritable"
    executePendingCommands()
    assert second["status"] == "pending"
    assert len(gateway.written) == 1


def it_takes_many_at_once_with_one_call_for_each_step():
    gateway = fakes.fresh()
    rows = several(30)
    executePendingCommands()
    assert set(row["status"] for row in rows) == set(["executed"])
    assert gateway.calls == [
        name.replace("markCommandExecuted", "recordGatewayVerdicts") for name in IN_ORDER
    ]


def it_fails_a_command_that_the_device_refuses():
    gateway = fakes.fresh()
    row, other = several(2)
    gateway.answers[row["facts"]["tag_path"]] = "Bad_NotWritable"
    executePendingCommands()
    assert _ended(row) == ("failed", "refused_by_server")
    assert row["result"].startswith("refused_by_server: Bad_NotWritable")
    assert _ended(other) == ("executed", None)


def it_fails_a_command_whose_write_was_good_and_whose_tag_shows_something_else():
    gateway = fakes.fresh()
    row = order()
    gateway.ignores.add(SETPOINT)
    started_s = gateway.clock.now_s
    executePendingCommands()
    assert _ended(row) == ("failed", "read_back_differs")
    assert row["read_back"] == 450.0
    waited_s = gateway.clock.now_s - started_s
    assert 2.0 + config.TAG_GROUP_S <= waited_s < 2.0 + config.TAG_GROUP_S + 1, waited_s
    assert len(gateway.written) == 1


def it_waits_for_a_tag_that_shows_its_value_late():
    gateway = fakes.fresh()
    row = order(settle_s=5.0)
    gateway.ignores.add(SETPOINT)

    def late():
        if len(gateway.named("readBlocking")) == 20:
            gateway.tags[SETPOINT] = 405.0

    gateway.before["readBlocking"] = late
    executePendingCommands()
    assert row["status"] == "executed"


def it_does_not_believe_a_provisional_value():
    gateway = fakes.fresh()
    row = order()
    gateway.after["writeBlocking"] = lambda: gateway.qualities.update({SETPOINT: "Good_Provisional"})
    executePendingCommands()
    assert _ended(row) == ("unknown", "not_confirmed")


def it_writes_nothing_that_must_not_be_written():
    for shown, quality, changes, code in (
        (450.0, "Uncertain_LastKnownValue", {}, "bad_quality"),
        (450.0, "Bad_Stale", {}, "bad_quality"),
        (430.0, "Good", {}, "moved_away"),
        (405.0, "Good", {}, "no_change"),
        (450.0, "Good", {"approved_digest": "0" * 64}, "digest_mismatch"),
        (450.0, "Good", {"data_type": None, "limits_route": None}, "not_listed"),
        (450.0, "Good", {"high": 400.0}, "out_of_range"),
        (450.0, "Good", {"since_last_write_s": 1.0}, "too_soon"),
    ):
        gateway = fakes.fresh()
        row = order(**changes)
        gateway.tags[SETPOINT] = shown
        gateway.qualities[SETPOINT] = quality
        executePendingCommands()
        assert _ended(row) == ("failed", code), (code, row)
        assert gateway.written == []
        assert "recordGatewayIntent" not in gateway.calls


def it_fails_what_cannot_be_read_and_carries_out_the_rest():
    gateway = fakes.fresh()
    row, other = several(2)
    del gateway.tags[row["facts"]["tag_path"]]
    executePendingCommands()
    assert _ended(row) == ("failed", "unreadable")
    assert _ended(other) == ("executed", None)


def it_writes_nothing_while_disarmed():
    gateway = fakes.fresh()
    row = order()
    gateway.armed = False
    executePendingCommands()
    assert row["status"] == "pending"
    assert gateway.written == []


def it_gives_back_what_was_disarmed_between_claim_and_intent():
    gateway = fakes.fresh()
    row = order()

    def disarm():
        gateway.armed = False

    gateway.before["recordGatewayIntent"] = disarm
    executePendingCommands()
    assert row["status"] == "pending"
    assert gateway.written == []
    assert len(gateway.named("getPendingCommands")) == 1  # no tight circle of claiming and giving back


def it_carries_out_nothing_whose_approval_has_lapsed():
    gateway = fakes.fresh()
    row = order()
    gateway.clock.now_s += config.APPROVAL_VALID_S
    executePendingCommands()
    assert row["status"] == "pending"
    assert gateway.written == []


def it_writes_nothing_after_it_slept_through_its_lease():
    for moment, status in (("readBlocking", "pending"), ("recordGatewayIntent", "failed")):
        gateway = fakes.fresh()
        row = order()

        def sleep():
            gateway.clock.now_s += config.LEASE_S - 4.0
            gateway.after.clear()

        gateway.after[moment] = sleep
        gateway.before["releaseGatewayCommands"] = lambda: setattr(gateway, "armed", False)
        executePendingCommands()
        assert gateway.written == [], moment
        assert row["status"] == status, (moment, row)


def it_leaves_to_a_later_read_back_what_outlasts_the_lease():
    gateway = fakes.fresh()
    row = order(settle_s=1000.0)
    gateway.ignores.add(SETPOINT)
    executePendingCommands()
    assert row["status"] == "executing"
    gateway.tags[SETPOINT] = 405.0
    gateway.clock.now_s += 2.0
    executePendingCommands()
    assert row["status"] == "executed"
    assert len(gateway.written) == 1


def it_has_a_lease_longer_than_everything_done_under_it():
    under_it_s = (config.READ_TIMEOUT_MS + config.WRITE_TIMEOUT_MS) / 1000.0 + config.TAG_GROUP_S
    assert config.LEASE_S > under_it_s * 2
    assert config.WRITE_TIMEOUT_MS < 45000  # the platform's own
