"""Where the login to a workspace comes from: bridge.toml, then the environment, then `.databrickscfg`."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.errors import ConfigError
from bridge.settings.databricks import DatabricksSettings, workspace_host

_VARIABLES = {
    "host": "DATABRICKS_HOST",
    "token": "DATABRICKS_TOKEN",
    "client_id": "DATABRICKS_CLIENT_ID",
    "client_secret": "DATABRICKS_CLIENT_SECRET",
    "workspace_id": "DATABRICKS_WORKSPACE_ID",
    "auth_type": "DATABRICKS_AUTH_TYPE",
}
_LOGIN = ("token", "client_id", "client_secret")
_METHODS = {"pat": ("token",), "oauth-m2m": ("client_id", "client_secret")}
_IN_WORDS = {"pat": "a personal access token", "oauth-m2m": "an OAuth client id and secret"}
_SETTINGS_SECTION = "__settings__"
_NO_DEFAULTS = "\x00"  # no section of a file is called so: [DEFAULT] is a section like any other


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A login that is complete: either a token, or a client id with its secret.

    source: where it comes from, in words. workspace_id: empty where the host serves one workspace alone.
    """

    host: str
    source: str
    token: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    workspace_id: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    value: str = field(repr=False)
    where: str


def identity(settings: DatabricksSettings, environment: Mapping[str, str], home: Path) -> Identity:
    """The login to use. ConfigError names every place that was looked into when there is none, or more than one."""
    found = _explicit(settings)
    for key, variable in _VARIABLES.items():
        if key not in found and environment.get(variable, "").strip():
            found[key] = _Found(environment[variable].strip(), variable)
    profile = settings.profile or environment.get("DATABRICKS_CONFIG_PROFILE", "").strip()
    given = settings.config_file or environment.get("DATABRICKS_CONFIG_FILE", "").strip()
    file = Path(given).expanduser() if given else home / ".databrickscfg"
    if profile or not any(key in found for key in ("host", *_LOGIN)):
        for key, entry in _from_file(file, profile).items():
            found.setdefault(key, entry)
    return _complete(found, file)


def _explicit(settings: DatabricksSettings) -> dict[str, _Found]:
    values = {
        "host": settings.host,
        "token": settings.token.get_secret_value(),
        "client_id": settings.client_id,
        "client_secret": settings.client_secret.get_secret_value(),
        "workspace_id": settings.workspace_id,
    }
    return {key: _Found(value.strip(), f"databricks.{key}") for key, value in values.items() if value.strip()}


def _from_file(file: Path, profile: str) -> dict[str, _Found]:
    """The entries of one section, and of that one alone; empty when nobody named a profile and there is no file."""
    parser = configparser.ConfigParser(default_section=_NO_DEFAULTS, interpolation=None)
    try:
        parser.read_string(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if not profile:
            return {}
        raise ConfigError([f"{file}: no such file, and profile {profile!r} is to be found in it"]) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError([f"{file}: cannot be read: {type(problem).__name__}"]) from None
    except configparser.Error as problem:
        # Its own words repeat the line, which may hold a secret.
        raise ConfigError([f"{file}: not readable as INI{_line(problem)}"]) from None
    section = profile or parser.get(_SETTINGS_SECTION, "default_profile", fallback="").strip() or "DEFAULT"
    if not parser.has_section(section):
        if not profile and section == "DEFAULT":
            return {}
        there = ", ".join(name for name in parser.sections() if name != _SETTINGS_SECTION) or "none"
        raise ConfigError([f"{file}: no profile {section!r} in it; there are: {there}"])
    return {
        key: _Found(value.strip(), f"{file} [{section}] {key}")
        for key, value in parser.items(section)
        if value.strip()
    }


def _line(problem: configparser.Error) -> str:
    number = getattr(problem, "lineno", None)
    listed = getattr(problem, "errors", None)
    if number is None and listed:
        number = listed[0][0]
    return f"; line {number}" if number is not None else ""


def _complete(found: Mapping[str, _Found], file: Path) -> Identity:
    problems: list[str] = []
    if "host" not in found:
        problems.append(
            f"no Databricks host: set databricks.host, DATABRICKS_HOST, or host in a profile of {file}"
        )
    host = ""
    try:
        host = workspace_host(found["host"].value) if "host" in found else ""
    except ValueError as problem:
        problems.append(f"{found['host'].where}: {problem}")
    method = _method(found, file, problems)
    for key in _METHODS.get(method, ()):
        if key not in found:
            other = next(name for name in _METHODS[method] if name in found)
            problems.append(f"{found[other].where} is set and {key} is missing; the two belong together")
        elif not (
            found[key].value.isascii() and found[key].value.isprintable() and " " not in found[key].value
        ):
            problems.append(f"{found[key].where}: holds spaces or characters that no {key} has")
    workspace_id = found["workspace_id"].value if "workspace_id" in found else ""
    if workspace_id and not workspace_id.isdecimal():
        problems.append(f"{found['workspace_id'].where}: wanted a number, found {workspace_id!r}")
    if problems:
        raise ConfigError(problems)
    used = {key: found[key].value for key in _METHODS[method]}
    source = " and ".join(dict.fromkeys(found[key].where for key in _METHODS[method]))
    return Identity(host=host, source=source, workspace_id=workspace_id, **used)


def _method(found: Mapping[str, _Found], file: Path, problems: list[str]) -> str:
    """Which of the ways to log in is configured; empty with a problem added when none or both are."""
    configured = {
        method: [found[key].where for key in keys if key in found]
        for method, keys in _METHODS.items()
        if any(key in found for key in keys)
    }
    if "auth_type" in found:
        wanted = found["auth_type"]
        if wanted.value not in _METHODS:
            problems.append(
                f"{wanted.where}: {wanted.value!r} is a way to log in that this bridge does not have; it has "
                f"{' and '.join(f'{name} ({_IN_WORDS[name]})' for name in _METHODS)}"
            )
            return ""
        configured = {name: where for name, where in configured.items() if name == wanted.value}
    if len(configured) > 1:
        ways = " and ".join(f"{_IN_WORDS[name]} ({', '.join(where)})" for name, where in configured.items())
        problems.append(f"two ways to log in are configured: {ways}; leave one of them out")
        return ""
    if not configured:
        problems.append(
            "no Databricks login: set databricks.token (DATABRICKS_TOKEN), or databricks.client_id and client_secret "
            f"(DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET), or either in a profile of {file}"
        )
        return ""
    return next(iter(configured))
