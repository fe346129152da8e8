"""Who may come in: access tokens, OAuth machine-to-machine with tokens that expire, and what says where to get them."""

from __future__ import annotations

import base64
import binascii
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from simulator.workspace.answers import Answer, Asked, Caller, Document, Refusal
from simulator.workspace.clock import Clock
from simulator.workspace.faults import Faults
from simulator.workspace.routes import Route, read_form, route

AREAS: Final = frozenset(("lakebase", "sql", "genie", "jobs", "serving"))
ENGINEER: Final = "engineer@example.com"
STRANGER: Final = "stranger@example.com"
_REALM: Final = {"WWW-Authenticate": 'Bearer realm="DatabricksRealm"'}


@dataclass
class _Token:
    caller: Caller
    expires: datetime | None
    """None: a personal access token, which outlives every test."""


@dataclass(frozen=True)
class _Principal:
    caller: Caller
    secret: str = field(repr=False)


@dataclass
class Identities:
    """The people and the service principals of the workspace, and every token that is known.

    The engineer owns the Lakebase project; the stranger has a valid token and no right to anything. ``more``: names
    of further service principals, each with every right in the workspace and credentials of its own.
    """

    clock: Clock
    faults: Faults
    token_lifetime_s: float = 3600.0
    pat: str = field(default_factory=lambda: f"dapi{secrets.token_hex(16)}", repr=False)
    client_secret: str = field(default_factory=lambda: f"dose{secrets.token_hex(16)}", repr=False)
    client_id: str = "5f6b2c1e-7a44-4a55-9d1f-2b1c6f0e4d21"
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.engineer = Caller(user_name=ENGINEER, display_name="Engineer", id="4211", rights=AREAS)
        self.stranger = Caller(user_name=STRANGER, display_name="Stranger", id="4212")
        if len(set(self.more)) != len(self.more) or not all(self.more):
            raise ValueError(f"every service principal has a name of its own, found {', '.join(self.more)}")
        self._more = {
            name: _Principal(
                _service(str(uuid.uuid5(uuid.NAMESPACE_OID, name)), name, str(4214 + place)),
                f"dose{secrets.token_hex(16)}",
            )
            for place, name in enumerate(self.more)
        }
        self.stranger_pat = f"dapi{secrets.token_hex(16)}"
        self._tokens: dict[str, _Token] = {}
        self.forget()

    def use(self, *, pat: str | None, client_secret: str | None) -> None:
        """Credentials of an earlier start instead of random ones."""
        self.pat = pat or self.pat
        self.client_secret = client_secret or self.client_secret
        self.forget()

    def forget(self) -> None:
        """Forget every token that was minted; personal ones stay."""
        self._tokens = {
            self.pat: _Token(self.engineer, None),
            self.stranger_pat: _Token(self.stranger, None),
        }

    def introduced(self) -> dict[str, dict[str, str]]:
        """Client id and secret of the further service principals, by name."""
        return {
            name: {"client_id": each.caller.user_name, "client_secret": each.secret}
            for name, each in self._more.items()
        }

    def _known(self, client_id: str, secret: str) -> Caller | None:
        """The service principal with this id and this secret."""
        first = _Principal(_service(self.client_id, "ignition-bridge", "4213"), self.client_secret)
        for each in (first, *self._more.values()):
            right = secrets.compare_digest(secret.encode(), each.secret.encode())
            if right and client_id == each.caller.user_name:
                return each.caller
        return None

    def expire_all(self) -> None:
        """Every OAuth token of now has expired."""
        for token in self._tokens.values():
            if token.expires is not None:
                token.expires = self.clock.now()

    def caller(self, authorization: str | None) -> Caller:
        """Who sends this header. Raises ``Refusal`` 401 or 403, each as the real one has it."""
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not value:
            raise Refusal(
                401,
                401,
                "Credential was not sent or was of an unsupported type for this API.",
                headers=_REALM,
            )
        token = self._tokens.get(value.strip())
        if token is None:
            raise Refusal(403, 403, "Invalid access token.")
        if token.expires is not None and token.expires <= self.clock.now():
            raise Refusal(401, 401, "Token is expired", headers=_REALM)
        return token.caller

    def accepts(self, bearer: str) -> bool:
        """Whether a SQL warehouse may take this token."""
        try:
            return "sql" in self.caller(f"Bearer {bearer}").rights
        except Refusal:
            return False

    def routes(self, host: str) -> list[Route]:
        """The requests of this area; ``host`` is the workspace's own address."""

        async def discovery(_: Asked) -> Document:
            return {
                "issuer": f"{host}/oidc",
                "authorization_endpoint": f"{host}/oidc/v1/authorize",
                "token_endpoint": f"{host}/oidc/v1/token",
                "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_basic",
                    "client_secret_post",
                    "none",
                ],
                "scopes_supported": ["all-apis", "offline_access"],
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            }

        async def host_metadata(_: Asked) -> Document:
            return {"oidc_endpoint": f"{host}/oidc", "host": host, "cloud": "AWS"}

        return [
            route("POST", "/oidc/v1/token", self._token, area=None, body=None),
            route("GET", "/oidc/.well-known/oauth-authorization-server", discovery, area=None),
            route("GET", "/oidc/.well-known/openid-configuration", discovery, area=None),
            route("GET", "/.well-known/databricks-config", host_metadata, area=None),
            route("GET", "/api/2.0/preview/scim/v2/Me", self._me),
            route("GET", "/login.html", _login_page, area=None, query="next_url:text error:text"),
        ]

    async def _token(self, asked: Asked) -> Answer:
        if self.faults.take("token_refused") is not None:
            summary = {"errorCode": "E0000011", "errorSummary": "Invalid token provided", "errorCauses": []}
            raise Refusal(401, "E0000011", "Invalid token provided", document=summary)
        identifier, secret = _basic(asked.headers.get("authorization", ""))
        principal = self._known(identifier, secret)
        if principal is None:
            raise _oauth_error(401, "invalid_client", "Client authentication failed")
        form = read_form(asked.body)
        if form.get("grant_type") != "client_credentials":
            raise _oauth_error(
                400,
                "unsupported_grant_type",
                f"grant_type client_credentials is wanted here, found {form.get('grant_type')!r}",
            )
        if "all-apis" not in form.get("scope", "").split():
            raise _oauth_error(400, "invalid_scope", f"scope all-apis is wanted, found {form.get('scope')!r}")
        unknown = sorted(set(form) - {"grant_type", "scope", "authorization_details"})
        if unknown:
            raise _oauth_error(400, "invalid_request", f"unknown parameter {', '.join(unknown)}")
        made = f"doat{secrets.token_urlsafe(32)}"  # opaque: the SQL connector would look into a JWT
        lifetime = timedelta(seconds=self.token_lifetime_s)
        self._tokens[made] = _Token(principal, self.clock.now() + lifetime)
        return Answer(
            document={
                "access_token": made,
                "token_type": "Bearer",
                "expires_in": int(self.token_lifetime_s),
                "scope": "all-apis",
            },
            headers={"Cache-Control": "no-store"},
        )

    async def _me(self, asked: Asked) -> Document:
        caller = asked.known_caller
        me: Document = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": caller.id,
            "userName": caller.user_name,
            "displayName": caller.display_name,
            "active": True,
            "groups": [
                {"display": "users", "type": "direct", "value": str(uuid.uuid5(uuid.NAMESPACE_OID, "users"))}
            ],
        }
        if not caller.service_principal:
            me["emails"] = [{"type": "work", "value": caller.user_name, "primary": True}]
        return me


def _service(client_id: str, name: str, number: str) -> Caller:
    return Caller(user_name=client_id, display_name=name, id=number, service_principal=True, rights=AREAS)


async def _login_page(_: Asked) -> Answer:
    """What a browser would see; a client that follows redirects takes it for an answer."""
    page = "<!doctype html><html><head><title>Databricks - Sign In</title></head><body>Sign in</body></html>"
    return Answer(text=page, content_type="text/html; charset=utf-8")


def _oauth_error(status: int, code: str, description: str) -> Refusal:
    return Refusal(status, code, description, document={"error": code, "error_description": description})


def _basic(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        raise _oauth_error(401, "invalid_client", "HTTP Basic with client id and secret is wanted")
    try:
        identifier, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _oauth_error(401, "invalid_client", "the Basic credentials cannot be read") from error
    if not colon:
        raise _oauth_error(401, "invalid_client", "the Basic credentials have no colon")
    return identifier, secret
