"""Who gets in, with what, for how long, and what everybody else is told?"""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest
import requests
from workspace_client import Client, document, oauth_token, refused

from simulator.workspace.process import WorkspaceProcess

ME = "/api/2.0/preview/scim/v2/Me"
TOKEN = "/oidc/v1/token"
GRANT = {"grant_type": "client_credentials", "scope": "all-apis"}


def test_an_access_token_is_its_person(engineer: Client) -> None:
    assert engineer.found(ME)["userName"] == "engineer@example.com"


def test_oauth_gives_the_service_principal(service: Client) -> None:
    me = service.found(ME)
    assert me["userName"] == service.workspace.client_id
    assert "emails" not in me


def test_each_further_service_principal_is_somebody_else(nobody: Client) -> None:
    """Who owns, who proposes and who decides log in apart, each with a secret that is no other's."""
    principals = nobody.workspace.ready["principals"]
    assert list(principals) == ["owner", "operators"]
    secrets = {name: (each["client_id"], each["client_secret"]) for name, each in principals.items()}
    secrets["first"] = (nobody.workspace.client_id, nobody.workspace.client_secret)
    assert len({login for pair in secrets.values() for login in pair}) == 6
    for client_id, secret in secrets.values():
        token = document(nobody.ask("POST", TOKEN, auth=(client_id, secret), data=GRANT))["access_token"]
        client = Client(nobody.workspace, token)
        assert client.found(ME)["userName"] == client_id
        client.session.close()
    mixed = nobody.ask("POST", TOKEN, auth=(secrets["owner"][0], secrets["operators"][1]), data=GRANT)
    assert (mixed.status_code, mixed.json()["error"]) == (401, "invalid_client")


def test_two_service_principals_of_one_name_are_refused() -> None:
    with pytest.raises(RuntimeError, match="a name of its own, found owner, owner"):
        WorkspaceProcess.start("--no-warehouse", "--principal", "owner", "--principal", "owner")


def test_a_token_is_opaque_and_lasts_an_hour(nobody: Client) -> None:
    answer = document(
        nobody.ask(
            "POST", TOKEN, auth=(nobody.workspace.client_id, nobody.workspace.client_secret), data=GRANT
        )
    )
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3600
    assert "." not in answer["access_token"]


def test_a_token_expires_by_the_workspaces_clock(service: Client) -> None:
    service.workspace.advance(3599)
    assert service.get(ME).status_code == 200
    service.workspace.advance(2)
    answer = service.get(ME)
    assert (answer.status_code, answer.json()["message"]) == (401, "Token is expired")


def test_an_access_token_does_not_expire(engineer: Client) -> None:
    engineer.workspace.advance(86_400)
    assert engineer.get(ME).status_code == 200


def test_without_a_token_it_is_401(nobody: Client) -> None:
    answer = nobody.get(ME)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_unknown_token_is_403_with_a_number_as_code(workspace: WorkspaceProcess) -> None:
    """A client that insists on a text for error_code fails on the real one too."""
    client = Client(workspace, "dapi0123")
    answer = client.get(ME)
    client.session.close()
    assert answer.status_code == 403
    assert answer.json()["error_code"] == 403
    assert answer.json()["message"] == "Invalid access token."


def test_who_has_no_rights_is_told_which(workspace: WorkspaceProcess) -> None:
    stranger = Client(workspace, workspace.ready["stranger_token"])
    assert stranger.get(ME).status_code == 200
    for path, area in (
        ("/api/2.0/genie/spaces", "genie"),
        ("/api/2.2/jobs/list", "jobs"),
        ("/api/2.0/sql/warehouses", "sql"),
        ("/api/2.0/postgres/projects", "lakebase"),
        ("/api/2.0/serving-endpoints", "serving"),
    ):
        refused(stranger.get(path), 403, "PERMISSION_DENIED", area)
    stranger.session.close()


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (None, GRANT, 401, "invalid_client"),
        (("other", "secret"), GRANT, 401, "invalid_client"),
        ("right", {**GRANT, "grant_type": "password"}, 400, "unsupported_grant_type"),
        ("right", {**GRANT, "scope": "sql"}, 400, "invalid_scope"),
        ("right", {**GRANT, "assertion": "x"}, 400, "invalid_request"),
    ],
)
def test_a_wrong_token_request_is_refused_in_oauths_form(
    nobody: Client, auth: object, form: dict[str, str], status: int, error: str
) -> None:
    if auth == "right":
        auth = (nobody.workspace.client_id, nobody.workspace.client_secret)
    answer = nobody.ask("POST", TOKEN, auth=auth, data=form)
    assert answer.status_code == status
    assert answer.json()["error"] == error
    assert answer.json()["error_description"]


def test_a_wrong_secret_does_not_get_a_token(nobody: Client) -> None:
    answer = nobody.ask("POST", TOKEN, auth=(nobody.workspace.client_id, "dose0"), data=GRANT)
    assert answer.json() == {"error": "invalid_client", "error_description": "Client authentication failed"}


def test_discovery_says_where_tokens_are(nobody: Client) -> None:
    host = nobody.workspace.host
    for path in ("/oidc/.well-known/oauth-authorization-server", "/oidc/.well-known/openid-configuration"):
        assert nobody.found(path)["token_endpoint"] == f"{host}/oidc/v1/token"
    assert nobody.found("/.well-known/databricks-config")["oidc_endpoint"] == f"{host}/oidc"


def test_expired_token_ends_every_oauth_token_and_no_other(service: Client, engineer: Client) -> None:
    assert service.get(ME).status_code == 200
    service.workspace.fault("expired_token")
    assert service.get(ME).status_code == 401
    assert engineer.get(ME).status_code == 200


def test_token_refused_speaks_in_the_login_services_form(nobody: Client) -> None:
    nobody.workspace.fault("token_refused")
    answer = nobody.ask(
        "POST", TOKEN, auth=(nobody.workspace.client_id, nobody.workspace.client_secret), data=GRANT
    )
    assert answer.status_code == 401
    assert set(answer.json()) >= {"errorCode", "errorSummary"}
    assert oauth_token(nobody), "the fault was meant for one request"


def test_a_skewed_clock_shows_in_the_date_and_not_in_the_validity(service: Client) -> None:
    """A token minted under the wrong clock is good by that clock; who believes the expiry on his own is wrong."""
    before = date(service.get(ME))
    service.workspace.fault("clock_skew =-7200")
    token = {"Authorization": f"Bearer {oauth_token(service)}"}
    answer = service.ask("GET", ME, headers=token)
    assert answer.status_code == 200
    assert -7200 <= (date(answer) - before).total_seconds() <= -7190
    service.workspace.clear("clock_skew")
    assert service.ask("GET", ME, headers=token).status_code == 401


def date(answer: requests.Response) -> datetime:
    return parsedate_to_datetime(answer.headers["Date"])
