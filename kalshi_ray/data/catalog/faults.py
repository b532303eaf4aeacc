"""What a failed call is called: what passes by itself, and what somebody has to put right, in one line each."""

from __future__ import annotations

import re
import socket
import ssl

import asyncpg

from kalshi_ray.data.catalog.urls import Place
from kalshi_ray.errors import DataError, KalshiRayError, StoreDown, StoreFull, UsageError

NOTHING_WRITTEN = "Nothing was half-written: the same call may succeed later"

# SQLSTATE of what goes by: the server stops, starts or is busy, or another transaction was in the way.
_PASSING = {
    "40001": "two transactions collided",
    "40P01": "two transactions waited for each other",
    "53200": "the server is out of memory",
    "53300": "the server takes no more connections",  # from anybody, or from this role, or to this database
    "57P01": "the server is shutting down",
    "57P02": "another connection crashed the server",
    "57P03": "the server is starting or stopping",
    "57P05": "the connection was idle for too long",
    "25P03": "a transaction was idle for too long",
    "25P04": "a transaction took longer than the server allows",
    "55P03": "somebody else holds a lock on the tables",
}
_DENIED = re.compile(r"permission denied for (?P<kind>[a-z ]+?) (?P<name>\S+)$")
_RIGHTS = {
    "database": "CREATE on the database",
    "schema": "USAGE on the schema to read, CREATE to write",
    "table": "SELECT to read; to write, the role that owns the tables",
    "view": "SELECT",
    "function": "EXECUTE",
}


def is_passing(error: BaseException) -> bool:
    """Whether the same call may succeed in a moment, over a connection of its own."""
    if _is_pooled_by_statement(error):
        return False
    if isinstance(error, asyncpg.PostgresConnectionError) or getattr(error, "sqlstate", None) in _PASSING:
        return True
    lost = isinstance(error, OSError | TimeoutError | EOFError | asyncpg.InterfaceError | asyncpg.InternalClientError)
    return lost and not is_refusal(error)


def is_refusal(error: BaseException) -> bool:
    """Whether the server, or the way to it, said no."""
    if isinstance(error, asyncpg.PostgresError):
        return not is_passing(error)
    if isinstance(error, ssl.SSLError) and error.library in ("X509", "PEM"):  # a file of ours
        return True
    if isinstance(error, asyncpg.ClientConfigurationError | ssl.SSLCertVerificationError):
        return True
    return _has_no_tls(error) or _is_pooled_by_statement(error)


def down(error: BaseException, place: Place, *, whole: bool = True) -> StoreDown:
    """The error for what did not pass in time."""
    if getattr(error, "sqlstate", "") == "55P03":
        return StoreDown(f"{place}: somebody else holds a lock on the tables", remedy=NOTHING_WRITTEN)
    what = f"cannot reach {place} within {place.patience_s:g} s: {_reason(error, place)}"
    return StoreDown(what, remedy=NOTHING_WRITTEN if whole else "")


def told(error: BaseException, place: Place) -> KalshiRayError:
    """The error for what does not pass by itself."""
    if isinstance(error, asyncpg.ClientConfigurationError):
        said = _first_line(error)
        is_without = "root certificate" in said
        remedy = "Give its authority in a PEM file: sslrootcert=…" if is_without else "Correct it, or the PG… variables"
        return UsageError(f"{place}: {said}", remedy=remedy)
    if _has_no_tls(error):
        remedy = "Leave sslmode out where the way to it can be trusted, or ask who runs it"
        return DataError(f"{place}: the server speaks no TLS, which the URL demands", remedy=remedy)
    if _is_pooled_by_statement(error):
        return DataError(
            f"{place}: the pooler there gives a connection for one statement only, and our calls take several",
            remedy="Set its pool_mode to transaction or session for this database, or name the server itself",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        is_other = "mismatch" in error.verify_message
        remedy = "Name the host as its certificate does" if is_other else "Give its authority: sslrootcert=…"
        return DataError(f"{place} cannot be trusted: {error.verify_message}", remedy=remedy)
    if not isinstance(error, asyncpg.PostgresError):
        remedy = "Give PEM files: sslrootcert, sslcert, sslkey"
        return UsageError(f"{place}: a file of the URL cannot be used: {_first_line(error)}", remedy=remedy)
    return _said_no(error, place)


def _said_no(error: asyncpg.PostgresError, place: Place) -> KalshiRayError:
    """The error for what the server itself refuses."""
    state, user = error.sqlstate or "", f"role {place.user!r}" if place.user else "the role"
    if state == "28P01":
        return DataError(
            f"{place} does not accept the password of {user}",
            remedy="Correct it in the URL, in ~/.pgpass or PGPASSWORD",
        )
    if state.startswith("28"):
        said = _first_line(error)
        remedy = "Try sslmode=require, or ask who runs the server" if "no encryption" in said else "Ask who runs it"
        return DataError(f"{place} does not let {user} in: {said}", remedy=remedy)
    if state == "3D000":
        return DataError(f"{place}: there is no database {place.database!r}", remedy=f"createdb {place.database}")
    if state == "53100":
        return StoreFull(f"no space left in {place}: {_first_line(error)}", remedy=NOTHING_WRITTEN)
    if state == "42501":
        return _denied(error, place, user)
    if state == "25006":
        remedy = "Name the primary server; if this is it, default_transaction_read_only is on for the role or database"
        return DataError(f"{place} can only be read: {_first_line(error)}", remedy=remedy)
    if state == "57014":
        return StoreDown(f"{place}: the call was cancelled there: {_first_line(error)}", remedy=NOTHING_WRITTEN)
    if state in ("42P01", "3F000", "42703"):
        return DataError(
            f"{place} has no more what our tables were: {_first_line(error)}",
            remedy="Somebody dropped or changed them: see kalshi-ray database status, and restore a backup",
        )
    if state in ("42P07", "42710"):
        return DataError(
            f"{place} holds tables that its schema_version says nothing of: {_first_line(error)}",
            remedy="Restore a backup, or name another schema: ?schema=…",
        )
    if state in ("22021", "22P05"):
        return DataError(f"{place} cannot hold a text: {_first_line(error)}", remedy="Texts must be without NUL")
    return DataError(f"{place} refused: {_first_line(error)} (SQLSTATE {state})")


def _has_no_tls(error: BaseException) -> bool:
    return isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error)


def _is_pooled_by_statement(error: BaseException) -> bool:
    return "statement pooling mode" in str(error)


def _denied(error: asyncpg.PostgresError, place: Place, user: str) -> DataError:
    said = _first_line(error)
    found = _DENIED.search(said)
    right = _RIGHTS.get(found["kind"], "") if found else ""
    if "CONNECT privilege" in (getattr(error, "detail", None) or ""):
        right = "CONNECT on the database"
    if said.startswith("must be owner"):
        right = "to write, be the role that owns the tables, or a member of it"
    needed = f". It needs {right}" if right else ""
    return DataError(f"{place}: {user} has not the right: {said}{needed}", remedy="See docs/postgres.md, Rights")


def _reason(error: BaseException, place: Place) -> str:
    """Why a server cannot be reached, in a few words."""
    if isinstance(error, asyncpg.PostgresError):
        said, meant = _first_line(error), _PASSING.get(error.sqlstate or "")
        return f"{meant}: {said}" if meant and said and error.sqlstate == "53300" else meant or said
    if isinstance(error, asyncpg.InterfaceError) and "connection is closed" in str(error):
        return "the connection was lost"
    if isinstance(error, socket.gaierror):
        return f"no host is named {place.host!r}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {place.server}"
    if isinstance(error, FileNotFoundError):
        return f"there is no socket {place.server}"
    if isinstance(error, TimeoutError):
        return f"{place.server} does not answer"
    return _first_line(error) or type(error).__name__


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")
