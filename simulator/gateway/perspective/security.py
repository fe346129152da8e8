"""Users, their roles, and the security levels that permissions ask for."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

AUTHENTICATED: Final = "Authenticated"


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody who can log in."""

    name: str
    password: str
    roles: tuple[str, ...]


DEMO_USERS: Final = (
    User(name="operator", password="operator", roles=("Operator",)),
    User(name="engineer", password="engineer", roles=("Engineer", "Operator")),
    User(name="viewer", password="viewer", roles=()),
)


class UserError(Exception):
    """A ``--user`` that is none."""


def read_user(text: str) -> User:
    """``NAME:PASSWORD:ROLE,ROLE``; roles may be missing. Raises ``UserError``."""
    name, colon, rest = text.partition(":")
    password, _, roles = rest.partition(":")
    if not name or not colon or not password:
        raise UserError(f"--user wants NAME:PASSWORD:ROLE,ROLE, found {name or text!r} without a password")
    return User(
        name=name, password=password, roles=tuple(role.strip() for role in roles.split(",") if role.strip())
    )


class Users:
    """Who may log in."""

    def __init__(self, users: Iterable[User]) -> None:
        self._users = {user.name: user for user in users}

    def check(self, name: str, password: str) -> User | None:
        """The user of this name and password, or None."""
        user = self._users.get(name)
        expected = user.password if user else ""
        right = hmac.compare_digest(expected.encode(), password.encode())
        return user if user is not None and right else None


def levels_of(user: User | None) -> frozenset[str]:
    """The paths of all security levels the user has; nobody has none."""
    if user is None:
        return frozenset()
    return frozenset(
        (AUTHENTICATED, f"{AUTHENTICATED}/Roles", *(f"{AUTHENTICATED}/Roles/{role}" for role in user.roles))
    )


def auth_of(user: User | None) -> dict[str, Any]:
    """``session.props.auth`` as Perspective has it."""
    roles = [{"name": role, "children": []} for role in user.roles] if user else []
    levels = [{"name": AUTHENTICATED, "children": [{"name": "Roles", "children": roles}]}] if user else []
    return {
        "authenticated": user is not None,
        "idp": "default",
        "user": {
            "id": user.name if user else "",
            "userName": user.name if user else "",
            "firstName": user.name.capitalize() if user else "",
            "lastName": "",
            "email": "",
            "roles": list(user.roles) if user else [],
        },
        "securityLevels": levels,
    }


def leaves(levels: Any, above: str = "") -> Iterator[str]:
    """The paths of the leaves of a tree of security levels."""
    for level in levels if isinstance(levels, list) else ():
        if not isinstance(level, dict):
            continue
        path = f"{above}/{level.get('name')}" if above else str(level.get("name"))
        children = level.get("children")
        if children:
            yield from leaves(children, path)
        else:
            yield path


def has_levels(held: frozenset[str], wanted: Iterable[str], *, all_of: bool) -> bool:
    """Whether all, or any, of the levels are held. ``Public`` everybody has."""
    answers = [level == "Public" or level.removeprefix("Public/") in held for level in wanted]
    return all(answers) if all_of else any(answers)


def permits(held: frozenset[str], permissions: Any) -> bool:
    """Whether a ``permissions`` object lets in who holds these levels. None, or no level named, lets in all.

    What cannot be read as permissions lets in nobody.
    """
    if permissions is None:
        return True
    if not isinstance(permissions, Mapping) or not isinstance(permissions.get("securityLevels", []), list):
        return False
    wanted = list(leaves(permissions.get("securityLevels")))
    if not wanted:
        return True
    return has_levels(held, wanted, all_of=permissions.get("type") != "AnyOf")
