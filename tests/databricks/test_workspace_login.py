"""Which login is used, where it comes from, and how a service principal's tokens are kept fresh."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import responses
from by_hand import HandClock
from pydantic import SecretStr
from structlog.testing import capture_logs

from bridge.databricks.auth import MachineLogin, PersonalToken, workspace
from bridge.databricks.call import Call
from bridge.databricks.http import Wire
from bridge.databricks.profile import Identity, identity
from bridge.errors import AccessDenied, BridgeError, ConfigError, NotAWorkspace, WorkspaceDown
from bridge.settings import DatabricksSettings

HOST = "https://adb-1.example.net"
TOKEN_URL = f"{HOST}/oidc/v1/token"
FILE = f"""
[__settings__]
default_profile = machine

[DEFAULT]
host = https://default.example.net
token = dapi-default

[person]
host = https://person.example.net
token = dapi-person

[machine]
host = {HOST}
client_id = app-1
client_secret = dose-secret

[half]
host = {HOST}
client_id = app-1

[no-host]
token = dapi-nohost

[both]
host = {HOST}
token = dapi-both
client_id = app-1
client_secret = dose-secret

[chosen]
host = {HOST}
token = dapi-chosen
client_id = app-1
client_secret = dose-secret
auth_type = pat

[elsewhere]
host = {HOST}
auth_type = databricks-cli

[shared]
host = {HOST}
token = dapi-shared
workspace_id = 712
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".databrickscfg").write_text(FILE)
    return tmp_path


def found(home: Path, settings: DatabricksSettings | None = None, **environment: str) -> Identity:
    return identity(settings or DatabricksSettings(), environment, home)


def refused(home: Path, settings: DatabricksSettings | None = None, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        found(home, settings, **environment)
    text = str(caught.value)
    assert "dapi-" not in text
    assert "dose-" not in text
    return text


# Precedence, pair by pair


def test_what_bridge_toml_says_comes_first(home: Path) -> None:
    settings = DatabricksSettings(host="https://mine.example.net", token=SecretStr("dapi-mine"))
    who = found(home, settings, DATABRICKS_HOST="https://env.example.net", DATABRICKS_TOKEN="dapi-env")
    assert (who.host, who.token, who.source) == ("https://mine.example.net", "dapi-mine", "databricks.token")


def test_the_environment_comes_before_the_profile(home: Path) -> None:
    who = found(home, DATABRICKS_CONFIG_PROFILE="person", DATABRICKS_TOKEN="dapi-env")
    assert (who.host, who.token, who.source) == ("https://person.example.net", "dapi-env", "DATABRICKS_TOKEN")


def test_a_profile_named_in_bridge_toml_comes_before_the_environment_s(home: Path) -> None:
    who = found(home, DatabricksSettings(profile="person"), DATABRICKS_CONFIG_PROFILE="machine")
    assert who.token == "dapi-person"


def test_the_file_s_own_default_profile_is_taken_when_nobody_names_one(home: Path) -> None:
    who = found(home)
    assert (who.host, who.client_id, who.client_secret) == (HOST, "app-1", "dose-secret")
    assert who.source == (
        f"{home / '.databrickscfg'} [machine] client_id and {home / '.databrickscfg'} [machine] client_secret"
    )


def test_without_a_default_profile_it_is_default(home: Path) -> None:
    file = home / ".databrickscfg"
    file.write_text(FILE.replace("default_profile = machine", ""))
    assert found(home).token == "dapi-default"


def test_default_is_not_mixed_into_other_profiles(home: Path) -> None:
    """Python's own reader would lend them DEFAULT's host, and send one workspace's token to another."""
    assert "no Databricks host" in refused(home, DATABRICKS_CONFIG_PROFILE="no-host")


def test_the_file_is_left_alone_when_a_login_is_given_and_no_profile(home: Path) -> None:
    assert "no Databricks host" in refused(home, DATABRICKS_TOKEN="dapi-env")
    assert "no Databricks login" in refused(home, DATABRICKS_HOST=HOST)


def test_the_file_may_be_elsewhere(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.cfg"
    other.write_text("[only]\nhost = https://other.example.net\ntoken = dapi-other\n")
    assert (
        found(home, DATABRICKS_CONFIG_FILE=str(other), DATABRICKS_CONFIG_PROFILE="only").token == "dapi-other"
    )
    assert found(home, DatabricksSettings(config_file=other, profile="only")).token == "dapi-other"


def test_empty_variables_are_not_there(home: Path) -> None:
    assert found(home, DATABRICKS_TOKEN="  ", DATABRICKS_CONFIG_PROFILE="").client_id == "app-1"


def test_the_workspace_s_number_comes_along(home: Path) -> None:
    assert found(home, DATABRICKS_CONFIG_PROFILE="shared").workspace_id == "712"
    assert "wanted a number" in refused(
        home, DATABRICKS_CONFIG_PROFILE="person", DATABRICKS_WORKSPACE_ID="abc"
    )


# Refusals


def test_two_ways_to_log_in_are_refused_naming_both(home: Path) -> None:
    text = refused(home, DATABRICKS_CONFIG_PROFILE="both")
    assert "two ways to log in are configured: a personal access token" in text
    assert "[both] token" in text
    assert "[both] client_id" in text
    text = refused(
        home, DatabricksSettings(host=HOST, token=SecretStr("dapi-x")), DATABRICKS_CLIENT_ID="app-1"
    )
    assert "databricks.token" in text
    assert "DATABRICKS_CLIENT_ID" in text


def test_an_auth_type_says_which_of_two_counts(home: Path) -> None:
    assert found(home, DATABRICKS_CONFIG_PROFILE="chosen").token == "dapi-chosen"
    who = found(home, DATABRICKS_CONFIG_PROFILE="both", DATABRICKS_AUTH_TYPE="oauth-m2m")
    assert (who.token, who.client_id) == ("", "app-1")


def test_a_way_to_log_in_that_does_not_exist_here_is_named(home: Path) -> None:
    assert "'databricks-cli' is a way to log in that this bridge does not have" in refused(
        home, DATABRICKS_CONFIG_PROFILE="elsewhere"
    )


def test_half_a_login_is_refused(home: Path) -> None:
    text = refused(home, DATABRICKS_CONFIG_PROFILE="half")
    assert "[half] client_id is set and client_secret is missing" in text


def test_nothing_at_all_says_what_could_be(tmp_path: Path) -> None:
    text = refused(tmp_path)
    assert "DATABRICKS_HOST" in text
    assert "DATABRICKS_TOKEN" in text


def test_a_profile_that_is_not_there_says_which_are(home: Path) -> None:
    assert "there are: DEFAULT, person, machine" in refused(home, DATABRICKS_CONFIG_PROFILE="persom")
    assert "no such file" in refused(home / "empty", DATABRICKS_CONFIG_PROFILE="person")


@pytest.mark.parametrize(
    "content",
    [
        "token = dapi-leak\n",
        "[a]\ntoken = dapi-leak\n[a]\n",
        "[a]\ndapi-leak\n",
        "[a]\ntoken = dapi-leak\ntoken = x\n",
    ],
)
def test_a_broken_file_is_refused_without_showing_what_is_in_it(tmp_path: Path, content: str) -> None:
    (tmp_path / ".databrickscfg").write_text(content)
    assert "not readable as INI; line" in refused(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".databrickscfg").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refused(tmp_path)


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / ".databrickscfg").write_bytes(f"\ufeff[DEFAULT]\r\nhost={HOST}\r\ntoken=dapi-%w\r\n".encode())
    assert found(tmp_path).token == "dapi-%w"


@pytest.mark.parametrize("secret", ["dapi-\u00fc", "dapi- x", "dapi-\x07"])
def test_a_token_with_characters_that_no_token_has_is_refused(home: Path, secret: str) -> None:
    text = refused(home, DATABRICKS_HOST=HOST, DATABRICKS_TOKEN=secret)
    assert "DATABRICKS_TOKEN: holds spaces or characters" in text


def test_secrets_are_never_shown(home: Path) -> None:
    for profile in ("person", "machine"):
        who = found(home, DATABRICKS_CONFIG_PROFILE=profile)
        assert "dapi" not in repr(who)
        assert "dose" not in repr(who)
    settings = DatabricksSettings(host=HOST, token=SecretStr("dapi-x"), client_secret=SecretStr("dose-x"))
    assert "dapi" not in repr(settings)
    assert "dose" not in repr(settings)
    assert "dapi" not in repr(PersonalToken("dapi-x", "somewhere"))
    assert "dose" not in repr(machine(HandClock()))


# The service principal


@pytest.fixture
def http() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=True) as mock:
        yield mock


def machine(clock: HandClock) -> MachineLogin:
    return MachineLogin(Wire(HOST, clock), "app-1", "dose-secret", clock, source="the test")


def give(http: responses.RequestsMock, token: str, life_s: object = 3600) -> None:
    http.add("POST", TOKEN_URL, json={"access_token": token, "token_type": "Bearer", "expires_in": life_s})


def bearer(login: MachineLogin) -> str:
    return login.headers(budget_s=5.0)["Authorization"]


def test_a_token_is_asked_for_as_oauth_wants_it_and_kept(http: responses.RequestsMock) -> None:
    give(http, "t1")
    login = machine(HandClock())
    assert [bearer(login) for _ in range(3)] == ["Bearer t1"] * 3
    sent = http.calls[0].request
    assert sent.headers["Authorization"] == f"Basic {base64.b64encode(b'app-1:dose-secret').decode()}"
    assert sent.body == "grant_type=client_credentials&scope=all-apis"
    assert len(http.calls) == 1


@pytest.mark.parametrize("life_s", [3600, "3600", 3600.0])
def test_it_is_renewed_five_minutes_before_its_end(http: responses.RequestsMock, life_s: object) -> None:
    give(http, "t1", life_s)
    give(http, "t2", life_s)
    clock = HandClock()
    login = machine(clock)
    bearer(login)
    clock.passed_s = 3299.0
    assert bearer(login) == "Bearer t1"
    clock.passed_s = 3300.0
    assert bearer(login) == "Bearer t2"


def test_a_short_lived_token_is_not_renewed_all_the_time(http: responses.RequestsMock) -> None:
    give(http, "t1", 60)
    give(http, "t2", 60)
    clock = HandClock()
    login = machine(clock)
    for passed_s in range(30):
        clock.passed_s = float(passed_s)
        assert bearer(login) == "Bearer t1"
    clock.passed_s = 30.0
    assert bearer(login) == "Bearer t2"


def test_a_wrong_time_of_day_does_no_harm(http: responses.RequestsMock) -> None:
    """The token's life is counted on the steady clock; a clock that is set back or forth changes nothing."""

    class Set(HandClock):
        skew_s = 0.0

        def now_utc(self):  # type: ignore[no-untyped-def]
            from datetime import timedelta

            return super().now_utc() + timedelta(seconds=self.skew_s)

    clock = Set()
    give(http, "t1")
    login = machine(clock)
    bearer(login)
    for clock.skew_s in (-86_400.0, 86_400.0):
        assert bearer(login) == "Bearer t1"
    assert len(http.calls) == 1


def test_while_the_token_service_is_away_the_old_token_serves_as_long_as_it_lives(
    http: responses.RequestsMock,
) -> None:
    """And the log says so once, not with each request."""
    give(http, "t1")
    clock = HandClock()
    login = machine(clock)
    bearer(login)
    http.add("POST", TOKEN_URL, status=503)
    with capture_logs() as logs:
        for clock.passed_s in (3300.0, 3400.0, 3599.0):
            assert bearer(login) == "Bearer t1"
        assert [entry["event"] for entry in logs] == ["databricks.token_renewal_failed"]
        clock.passed_s = 3600.0
        with pytest.raises(WorkspaceDown):
            bearer(login)
    http.remove("POST", TOKEN_URL)
    give(http, "t2")
    assert bearer(login) == "Bearer t2"


def test_one_thread_renews_and_the_others_wait_for_it(http: responses.RequestsMock) -> None:
    asked = threading.Event()
    go = threading.Event()

    def slow(request: object) -> tuple[int, dict[str, str], str]:
        asked.set()
        assert go.wait(10)
        return 200, {}, '{"access_token": "t1", "expires_in": 3600}'

    http.add_callback("POST", TOKEN_URL, slow)
    login = machine(HandClock())
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(bearer(login))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert asked.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert got == ["Bearer t1"] * 8
    assert len(http.calls) == 1


def test_nobody_waits_for_a_renewal_longer_than_there_is_time(http: responses.RequestsMock) -> None:
    asked, go = threading.Event(), threading.Event()

    def slow(request: object) -> tuple[int, dict[str, str], str]:
        asked.set()
        assert go.wait(10)
        return 200, {}, '{"access_token": "t1", "expires_in": 3600}'

    http.add_callback("POST", TOKEN_URL, slow)
    login = machine(HandClock())
    first = threading.Thread(target=lambda: bearer(login))
    first.start()
    assert asked.wait(10)
    try:
        with pytest.raises(WorkspaceDown, match="no token came in time"):
            login.headers(budget_s=0.01)
    finally:
        go.set()
        first.join(10)


def test_after_a_refusal_a_new_token_is_asked_for_once_whoever_noticed(http: responses.RequestsMock) -> None:
    """Eight requests with one token that expired early must not ask for eight new ones."""
    give(http, "t1")
    give(http, "t2")
    login = machine(HandClock())
    old = dict(login.headers(budget_s=5.0))
    assert [login.renew(old, budget_s=5.0) for _ in range(8)] == [True] * 8
    assert bearer(login) == "Bearer t2"
    assert len(http.calls) == 2


REFUSALS = [
    (401, '{"error": "invalid_client", "error_description": "Client authentication failed dose-secret"}'),
    (400, '{"error": "invalid_client", "error_description": "unknown dose-secret"}'),
    (400, '{"errorCode": "invalid_client", "errorSummary": "Invalid value for client_id"}'),
    (403, '{"error": "access_denied"}'),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_wrong_secret_is_access_denied_and_not_repeated(
    http: responses.RequestsMock, status: int, body: str
) -> None:
    http.add("POST", TOKEN_URL, status=status, body=body, content_type="application/json")
    with pytest.raises(AccessDenied) as caught:
        bearer(machine(HandClock()))
    assert "refuses client id app-1 with its secret (from the test)" in str(caught.value)
    assert "dose-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"json": {"expires_in": 3600}}, NotAWorkspace),
        ({"json": {"access_token": "", "expires_in": 3600}}, NotAWorkspace),
        ({"json": {"access_token": "a\nb", "expires_in": 3600}}, NotAWorkspace),
        ({"json": {"access_token": "t1"}}, NotAWorkspace),
        ({"json": {"access_token": "t1", "expires_in": "soon"}}, NotAWorkspace),
        ({"json": {"access_token": "t1", "expires_in": -1}}, NotAWorkspace),
        ({"json": {"access_token": "t1", "expires_in": True}}, NotAWorkspace),
        (
            {"json": {"error_code": "ENDPOINT_NOT_FOUND", "message": "no such path"}, "status": 404},
            NotAWorkspace,
        ),
        ({"body": "<html></html>", "content_type": "text/html"}, NotAWorkspace),
        ({"body": "", "status": 302, "headers": {"Location": "/login.html"}}, NotAWorkspace),
    ],
)
def test_an_answer_that_is_no_token_is_refused_by_name(
    http: responses.RequestsMock, answer: dict[str, object], kind: type[BridgeError]
) -> None:
    http.add("POST", TOKEN_URL, **answer)  # type: ignore[arg-type]
    with pytest.raises(kind):
        bearer(machine(HandClock()))


def test_a_workspace_is_made_of_what_was_found(http: responses.RequestsMock, home: Path) -> None:
    """From the profile to the request: the token that is sent is the one that the service gave."""
    give(http, "t1")
    http.add("GET", f"{HOST}/thing", json={"well": 1})
    made = workspace(DatabricksSettings(profile="machine"), HandClock(), environment={}, home=home)
    assert made.ask(Call(verb="GET", path="/thing", what="thing"), budget_s=5.0) == {"well": 1}
    assert http.calls[1].request.headers["Authorization"] == "Bearer t1"
    made.close()
