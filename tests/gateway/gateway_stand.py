"""Small projects, tags and databases for gateways under test, made here so that no other part is needed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from rig import sql

LOGIN = "gateway_login"
PASSWORD = "only for tests"
ATTRIBUTES: dict[str, Any] = {"lastModification": {"actor": "external", "timestamp": "2026-01-01T00:00:00Z"}}
HEAD = {"title": "Probe", "description": "", "parent": "", "enabled": True, "inheritable": False}

Files = dict[str, str]


def resource(*files: str, scope: str = "G", version: int = 1, **attributes: object) -> str:
    return json.dumps(
        {
            "scope": scope,
            "version": version,
            "restricted": False,
            "overridable": True,
            "files": list(files),
            "attributes": {**ATTRIBUTES, **attributes},
        }
    )


def script(path: str, code: str) -> Files:
    folder = f"ignition/script-python/{path}"
    return {f"{folder}/code.py": code, f"{folder}/resource.json": resource("code.py", scope="A")}


def query(path: str, text: str, kind: str = "Query", **parameters: int) -> Files:
    """A named query; parameters by name with their sqlType."""
    folder = f"ignition/named-query/{path}"
    declared = [
        {"type": "Parameter", "identifier": name, "sqlType": code} for name, code in parameters.items()
    ]
    return {
        f"{folder}/query.sql": text,
        f"{folder}/resource.json": resource(
            "query.sql",
            scope="DG",
            version=2,
            type=kind,
            enabled=True,
            database="Lakebase_Connection",
            parameters=declared,
            useMaxReturnSize=False,
            maxReturnSize=100,
            permissions=[{"zone": "", "role": ""}],
        ),
    }


def timer(
    name: str, body: str, *, delay_ms: int = 50, fixed_delay: bool = True, shared: bool = False
) -> Files:
    folder = f"ignition/timer/{name}"
    return {
        f"{folder}/handleTimerEvent.py": f"def handleTimerEvent():\n\t{body}\n",
        f"{folder}/resource.json": resource(
            "handleTimerEvent.py", delay=delay_ms, fixedDelay=fixed_delay, sharedThread=shared, enabled=True
        ),
    }


def project(path: Path, *parts: Files, head: Mapping[str, object] = HEAD) -> Path:
    """The zip of these parts, ``project.json`` first."""
    files: Files = {"project.json": json.dumps(head)}
    for part in parts:
        files |= part
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def atomic(name: str, data_type: str = "Float8", **properties: object) -> dict[str, object]:
    return {
        "name": name,
        "tagType": "AtomicTag",
        "valueSource": "memory",
        "dataType": data_type,
        **properties,
    }


def folder(name: str, *tags: object) -> dict[str, object]:
    return {"name": name, "tagType": "Folder", "tags": list(tags)}


def provider(*tags: object) -> dict[str, object]:
    return {"name": "", "tagType": "Provider", "tags": list(tags)}


def opc(name: str, data_type: str, node: str, **properties: object) -> dict[str, object]:
    return atomic(
        name,
        data_type,
        **{
            "valueSource": "opc",
            "opcServer": "Plant",
            "opcItemPath": f"nsu=urn:ignition-bridge:plant;s={node}",
            "tagGroup": "Fast",
            **properties,
        },
    )


def tag_file(path: Path, *tags: object) -> Path:
    path.write_text(json.dumps(provider(*tags)), encoding="utf-8")
    return path


def operator_url(owner_url: str) -> str:
    """The same database for a login that is a bridge_operator and nothing else."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        if owner.execute("select 1 from pg_roles where rolname = %s", (LOGIN,)).fetchone() is None:
            owner.execute(sql(f"create role {LOGIN} login password '{PASSWORD}' in role bridge_operator"))
    scheme, _, rest = owner_url.partition("://")
    return f"{scheme}://{LOGIN}:{PASSWORD.replace(' ', '%20')}@{rest.rpartition('@')[2]}"
