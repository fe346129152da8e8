"""Where and as whom to connect: a URL, or somebody who gives access anew for each connection."""

from __future__ import annotations

from bridge.ports import DatabaseAccess, DatabaseLogin

Where = str | DatabaseLogin


def parameters(access: DatabaseAccess) -> dict[str, object]:
    """What libpq calls the parts of an access. With an authority, the server's certificate and name are verified."""
    given: dict[str, object] = {
        "host": access.host,
        "port": access.port,
        "dbname": access.database,
        "user": access.user,
        "password": access.password,
    }
    if access.ca_certificate:
        return {**given, "sslmode": "verify-full", "sslrootcert": access.ca_certificate}
    return {**given, "sslmode": "require"} if access.encrypted else given
