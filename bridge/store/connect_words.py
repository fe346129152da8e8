"""What a failed connect says, in words alone: libpq gives no SQLSTATE for what goes wrong before the session stands."""

from __future__ import annotations

from bridge.errors import AccessDenied, BridgeError, FixConfiguration, StoreDown

_FULL = ("too many clients already", "remaining connection slots are reserved", "too many connections for")
_REFUSED = ("password authentication failed", "no pg_hba.conf entry", "no password supplied")


def operational(what: str, state: str, message: str) -> BridgeError:
    """The error for an operational failure. what: the query or step, "connect" for a connect; state: may be empty."""
    lowered = message.lower()
    if state == "53300" or any(words in lowered for words in _FULL):
        return StoreDown(
            f"{what}: the database has no connection left for us ({message}); it is tried again. If that lasts: "
            "a smaller store.pool_size, fewer other programs, or a larger database"
        )
    if what == "connect" and not state and "certificate" in lowered:
        return FixConfiguration(
            f"{what}: the server's certificate is not trusted: {message}; databricks.lakebase.ca_certificate, or "
            "sslrootcert in the URL, says who signs it"
        )
    if any(words in lowered for words in _REFUSED) or (
        "fatal: " in lowered and lowered.endswith("does not exist")
    ):
        return AccessDenied(f"{what}: the database refuses this login: {message}")
    return StoreDown(f"{what}: {message}")


def may_have_expired(error: BridgeError) -> bool:
    """Whether the password may be the reason; services of this kind have words of their own for one that expired."""
    lowered = str(error).lower()
    return isinstance(error, AccessDenied) or any(
        word in lowered for word in ("authentication", "token", "expired")
    )
