"""A token that lives is used, whatever happens to the next one: nobody waits for what nobody needs yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import pytest
from by_hand import HandClock
from structlog.testing import capture_logs

from bridge.databricks.auth import MachineLogin
from bridge.databricks.call import Answer, Call
from bridge.databricks.http import Wire
from bridge.errors import AccessDenied, BridgeError, NotAWorkspace, WorkspaceDown

WITHIN_ITS_LAST_MINUTES_S = 3400.0


class Service(Wire):
    """A token service that answers with t1, and then as the test says."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__("https://adb-1.example.net", clock)
        self.fails: BridgeError | None = None
        self.budgets_s: list[float] = []
        self.asked = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def ask(self, call: Call, headers: Mapping[str, str], *, left_s: float) -> Answer:
        self.budgets_s.append(left_s)
        number = len(self.budgets_s)
        self.asked.set()
        assert self.go.wait(60)
        if self.fails is not None:
            raise self.fails
        return {"access_token": f"t{number}", "expires_in": 3600}


def bearer(login: MachineLogin, budget_s: float = 30.0) -> str:
    return login.headers(budget_s=budget_s)["Authorization"]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def service(clock: HandClock) -> Service:
    return Service(clock)


@pytest.fixture
def login(service: Service, clock: HandClock) -> MachineLogin:
    made = MachineLogin(service, "app-1", "dose-secret", clock, source="a test")
    assert bearer(made) == "Bearer t1"
    return made


def test_others_go_on_with_the_old_token_while_one_fetches_the_next(
    login: MachineLogin, service: Service, clock: HandClock
) -> None:
    """A token service that thinks for long must not stop what needs no new token."""
    clock.passed_s = WITHIN_ITS_LAST_MINUTES_S
    service.asked.clear()
    service.go.clear()
    first = threading.Thread(target=bearer, args=(login,))
    first.start()
    assert service.asked.wait(30)
    began_s = time.monotonic()
    try:
        assert [bearer(login, budget_s=20.0) for _ in range(8)] == ["Bearer t1"] * 8
        assert time.monotonic() - began_s < 15.0
    finally:
        service.go.set()
        first.join(30)
    assert bearer(login) == "Bearer t2"
    assert len(service.budgets_s) == 2


def test_a_renewal_in_good_time_leaves_time_for_the_request_itself(
    login: MachineLogin, service: Service, clock: HandClock
) -> None:
    """Five seconds at most, and never more than half of what there is."""
    service.fails = WorkspaceDown("the token service is silent")
    for passed_s, budget_s in ((3400.0, 30.0), (3450.0, 4.0)):
        clock.passed_s = passed_s
        assert bearer(login, budget_s=budget_s) == "Bearer t1"
    assert service.budgets_s[1:] == [5.0, 2.0]


def test_a_renewal_that_failed_is_not_tried_again_with_every_request(
    login: MachineLogin, service: Service, clock: HandClock
) -> None:
    service.fails = WorkspaceDown("the token service is silent")
    for passed_s in range(3400, 3460):
        clock.passed_s = float(passed_s)
        assert bearer(login) == "Bearer t1"
    assert len(service.budgets_s) == 1 + 2


@pytest.mark.parametrize("problem", [AccessDenied("no such client"), NotAWorkspace("a web page")])
def test_a_refused_renewal_is_told_while_the_old_token_lives_and_raised_when_it_is_over(
    login: MachineLogin, service: Service, clock: HandClock, problem: BridgeError
) -> None:
    """A secret that was taken back, or a gateway's stray page: five minutes to notice it in the log."""
    service.fails = problem
    clock.passed_s = WITHIN_ITS_LAST_MINUTES_S
    with capture_logs() as logs:
        assert bearer(login) == "Bearer t1"
    assert [entry["event"] for entry in logs] == ["databricks.token_renewal_failed"]
    assert logs[0]["lives_s"] == 200
    clock.passed_s = 3600.0
    with pytest.raises(type(problem)):
        bearer(login)


def test_a_server_that_repeats_the_secret_puts_it_into_no_log(
    login: MachineLogin, service: Service, clock: HandClock
) -> None:
    service.fails = WorkspaceDown("the token service fails: could not check dose-secret")
    clock.passed_s = WITHIN_ITS_LAST_MINUTES_S
    with capture_logs() as logs:
        assert bearer(login) == "Bearer t1"
    assert "could not check" in logs[0]["error"]
    assert "dose-secret" not in str(logs)
