"""Push project and tags to a gateway over the REST API of Ignition 8.3.

The token comes from the environment and goes out only over https, or to this machine. Redirects are not
followed: they would carry the token elsewhere. Tags go first, because timers run as soon as the project
is there. Afterwards the project is read back: what the gateway confirms counts, not what was sent.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from bridge.errors import AccessDenied, ConfigError, GatewayDown, GatewayRefused, NotAGateway
from bridge.ignition.resources import is_payload

TOKEN_VARIABLE = "BRIDGE_IGNITION_TOKEN"
_HEADER = "X-Ignition-API-Token"
_BASE = "/data/api/v1"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_CONNECT_S = 5.0
_LONGEST_WORDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What the gateway confirmed. project_files: payload files read back and equal."""

    project: str
    project_files: int
    tags_imported: int | None


class Gateway:
    """One gateway's REST API. Every answer that is not the expected one is an error with a name."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 60.0,
        ca_file: Path | None = None,
        allow_http: bool = False,
    ) -> None:
        parts = urlsplit(url)
        problems = []
        if parts.scheme not in ("http", "https") or not parts.hostname:
            problems.append(f"--gateway: wanted https://host:port, found {url!r}")
        elif parts.username or parts.query or parts.fragment or parts.path.strip("/"):
            problems.append("--gateway: wanted https://host:port and nothing behind it, no login in it")
        elif parts.scheme == "http" and parts.hostname not in _LOOPBACK and not allow_http:
            problems.append(
                f"--gateway: http:// would send the token in the clear to {parts.hostname}; use https://, "
                "or --allow-http on a network where that does not matter"
            )
        name, colon, secret = token.partition(":")
        if not token:
            problems.append(
                f"{TOKEN_VARIABLE} is not set; make an API key in the gateway (Platform > Security > API Keys) "
                f"and export {TOKEN_VARIABLE}=<name>:<secret>"
            )
        elif not (name and colon and secret) or not token.isascii() or not token.isprintable():
            problems.append(f"{TOKEN_VARIABLE}: wanted <name>:<secret>, as the gateway shows it once")
        if ca_file is not None and not ca_file.is_file():
            problems.append(f"--ca: {ca_file}: no such file")
        if problems:
            raise ConfigError(problems)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._timeout = (_CONNECT_S, timeout_s)
        self._session = requests.Session()
        self._session.headers[_HEADER] = token
        self._session.headers["Accept"] = "application/json"
        if ca_file is not None:
            self._session.verify = str(ca_file)

    def deploy(
        self, name: str, archive: bytes, files: Mapping[str, bytes], tags: bytes | None, provider: str
    ) -> Deployed:
        """Import tags and project, and read the project back."""
        imported = None if tags is None else self.import_tags(tags, provider)
        self.import_project(name, archive)
        return Deployed(project=name, project_files=self.compare_project(name, files), tags_imported=imported)

    def import_tags(self, tags: bytes, provider: str) -> int:
        """Import a tag file at the root of a provider, over what is there; the number of tags that it says."""
        answer = self._call(
            "POST",
            "/tags/import",
            what="import the tags",
            params={"provider": provider, "type": "json", "collisionPolicy": "Overwrite", "path": ""},
            body=tags,
            content_type="application/octet-stream",
        )
        said = _json(answer, "import the tags")
        failures = said.get("failureCount")
        if not isinstance(failures, int) or not isinstance(said.get("successCount"), int):
            raise NotAGateway(
                f"{self._base}: the answer to the tag import has no successCount and failureCount; "
                "is this gateway newer than 8.3?"
            )
        if failures:
            listed = said.get("failures")
            first = (
                "; ".join(str(item)[:_LONGEST_WORDS] for item in listed[:10])
                if isinstance(listed, list)
                else ""
            )
            raise GatewayRefused(
                f"the gateway took {said['successCount']} tags and refused {failures}: {first or 'it does not say why'}"
            )
        return int(said["successCount"])

    def import_project(self, name: str, archive: bytes) -> None:
        """Import the project zip over what is there."""
        self._call(
            "POST",
            f"/projects/import/{quote(name, safe='')}",
            what=f"import the project {name!r}",
            params={"overwrite": "true"},
            body=archive,
            content_type="application/zip",
        )

    def compare_project(self, name: str, files: Mapping[str, bytes]) -> int:
        """Export the project and compare payload files; resource.json is left out, the gateway signs it."""
        answer = self._call(
            "GET",
            f"/projects/export/{quote(name, safe='')}",
            what=f"read the project {name!r} back",
            accept="*/*",
        )
        try:
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                found = {
                    entry: archive.read(entry) for entry in archive.namelist() if not entry.endswith("/")
                }
        except (zipfile.BadZipFile, zlib.error, NotImplementedError) as problem:
            raise NotAGateway(
                f"{self._base}: the export of {name!r} is no zip file; the import may have worked, look in the Designer"
            ) from problem
        sent = {path: content for path, content in files.items() if is_payload(path)}
        differing = sorted(path for path, content in sent.items() if found.get(path) != content)
        if differing:
            raise GatewayRefused(
                f"the gateway said yes and holds {len(differing)} of {len(sent)} files otherwise than sent: "
                f"{', '.join(differing[:10])}; look at Gateway > Logs, then deploy again"
            )
        return len(sent)

    def _call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "application/json",
    ) -> requests.Response:
        headers = {"Accept": accept}
        if content_type:
            headers["Content-Type"] = content_type
        happened = "; it may have happened all the same, look before trying again" if method == "POST" else ""
        try:
            answer = self._session.request(
                method,
                f"{self._base}{_BASE}{path}",
                params=params,
                data=body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as problem:
            raise AccessDenied(
                f"{self._base}: its certificate is not trusted; give the authority with --ca FILE ({_cause(problem)})"
            ) from problem
        except requests.exceptions.ConnectTimeout as problem:
            raise GatewayDown(
                f"{self._base}: no connection within {_CONNECT_S:g} s; nothing was sent"
            ) from problem
        except requests.exceptions.Timeout as problem:
            raise GatewayDown(
                f"{self._base}: no answer within {self._timeout[1]:g} s to: {what}{happened}"
            ) from problem
        except requests.exceptions.ConnectionError as problem:
            raise GatewayDown(f"{self._base}: cannot {what}: {_cause(problem)}{happened}") from problem
        except requests.exceptions.RequestException as problem:
            raise NotAGateway(f"{self._base}: cannot {what}: {_cause(problem)}") from problem
        self._refuse(answer, what)
        return answer

    def _refuse(self, answer: requests.Response, what: str) -> None:
        """Turn every answer that is not a success into its error."""
        status = answer.status_code
        if 300 <= status < 400:
            raise NotAGateway(
                f"{self._base} redirects to {answer.headers.get('Location', 'somewhere')}; give that address as "
                "--gateway if it is the gateway (https on port 8043?); the token was not sent there"
            )
        if status in (401, 403):
            lacks = "does not know this token" if status == 401 else "does not let this token do that"
            raise AccessDenied(
                f"{self._base} {lacks} ({status}): cannot {what}; look at Platform > Security > API Keys and "
                f"the key's security levels, then at {TOKEN_VARIABLE}"
            )
        if status == 404:
            raise NotAGateway(
                f"{self._base}: there is no {_BASE} route to {what} (404); the REST API came with Ignition 8.3, "
                "on 8.1 import by the web page, see docs/ignition.md"
            )
        if status in (429, 502, 503, 504):
            raise GatewayDown(f"{self._base} is not ready ({status}): cannot {what}; try again in a moment")
        if status >= 400:
            raise GatewayRefused(f"{self._base} refused to {what} ({status}): {_words(answer)}")
        if "html" in answer.headers.get("Content-Type", "").lower():
            raise NotAGateway(
                f"{self._base} answered with a web page where the REST API was asked to {what}; "
                "is a proxy or a login page in front of it?"
            )


def _json(answer: requests.Response, what: str) -> Mapping[str, Any]:
    try:
        said = answer.json()
    except ValueError as problem:
        raise NotAGateway(f"the answer is not JSON: could not {what}: {_words(answer)}") from problem
    if not isinstance(said, dict):
        raise NotAGateway(f"the answer is no JSON object: could not {what}")
    return said


def _words(answer: requests.Response) -> str:
    """What the gateway says, in one line; never a whole page."""
    if "html" in answer.headers.get("Content-Type", "").lower():
        return "a web page; Gateway > Logs says more"
    text = " ".join(answer.text.split())
    return text[:_LONGEST_WORDS] or "no words; Gateway > Logs says more"


def _cause(problem: Exception) -> str:
    """The innermost reason, without the address and its parameters once more."""
    inner: BaseException = problem
    while (below := inner.__cause__ or inner.__context__) is not None:
        inner = below
    return str(inner).rpartition(": ")[2] or type(inner).__name__
