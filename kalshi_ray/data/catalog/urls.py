"""Where a database is: one URL, checked whole before anything connects, and shown without its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from kalshi_ray.config import variable, without_password
from kalshi_ray.errors import UsageError

SCHEMA = "kalshi_ray"  # where our tables are unless the URL names another
PATIENCE_S = 10.0  # how long a call tries to reach a server; `connect_timeout` of the URL says otherwise
PORT = 5432
FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"

_FILES = ("sslrootcert", "sslcert", "sslkey")
_TLS = ("sslmode", *_FILES)
_PARAMETERS = ("schema", "connect_timeout", "host", "port", "user", *_TLS)
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_QUOTING = "Write @ : / ? # % of a password as %40 %3A %2F %3F %23 %25"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A database and the schema in it. The password stands in no text that is made of this."""

    host: str  # a name, an address or the folder of a Unix socket; empty: what the client library finds by itself
    port: int
    user: str  # empty: as the client library finds it (PGUSER, else the user of the process)
    database: str
    schema: str = SCHEMA
    patience_s: float = PATIENCE_S
    tls: tuple[tuple[str, str], ...] = ()  # parameters as in the URL
    password: str | None = field(default=None, repr=False)  # None: from PGPASSWORD or ~/.pgpass

    @property
    def is_socket(self) -> bool:
        """Whether the server is reached through a Unix socket."""
        return self.host.startswith("/")

    @property
    def server(self) -> str:
        """Host and port, as a message names them."""
        if not self.host:
            return "the local server"
        return f"{self.host}/.s.PGSQL.{self.port}" if self.is_socket else f"{_bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        """The URL without its password: it can be given to a command again."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        port = f":{self.port}" if self.port != PORT or (self.host and not self.is_socket) else ""
        host = "" if self.is_socket else _bracketed(self.host)
        parameters = {"host": self.host} if self.is_socket else {}
        parameters |= {} if self.schema == SCHEMA else {"schema": self.schema}
        parameters |= dict(self.tls)
        asked = f"?{urlencode(parameters, safe='/')}" if parameters else ""
        return f"postgresql://{user}{host}{port}/{quote(self.database, safe='')}{asked}"

    def arguments(self) -> dict[str, Any]:
        """What `asyncpg.connect` is given."""
        return {
            "dsn": f"postgresql://?{urlencode(self.tls)}" if self.tls else None,
            "host": self.host or None,
            "port": self.port,
            "user": self.user or None,
            "password": self.password,
            "database": self.database,
        }


def read_place(url: str) -> Place:
    """The place that a URL names. UsageError says what is wrong with it, and never what might be a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused(url, "host and port cannot be read", _QUOTING) from None
    if "@" in parts.path + parts.query + parts.fragment:  # what stands before it may be half a password
        raise _refused(url, "an @ stands behind the host", _QUOTING)
    if parts.fragment or "," in host:
        raise _refused(url, "one server and no # are expected", f"Give {FORM}")
    asked = _parameters(url, parts.query)
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise _refused(url, "no database is named", f"Give {FORM}")
    if "/" in database:
        raise _refused(url, "what follows the host is not one name", f"Give {FORM}")
    for name, given in (("host", host), ("port", port is not None), ("user", parts.username)):
        if given and name in asked:
            raise _refused(url, f"the {name} is named twice", f"Name it before the / or as ?{name}=…")
    return Place(
        host=asked.get("host", unquote(host)),
        port=_port(url, asked.get("port", "" if port is None else str(port))),
        user=asked.get("user", unquote(parts.username or "")),
        database=database,
        schema=_schema(url, asked.get("schema", SCHEMA)),
        patience_s=_patience(url, asked.get("connect_timeout", "")),
        tls=tuple((name, asked[name]) for name in _TLS if name in asked),
        password=None if parts.password is None else unquote(parts.password),
    )


def _parameters(url: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise _refused(url, "what follows the ? cannot be read", "Write ?name=value&name=value") from None
    for name, _ in pairs:
        if "password" in name:
            raise _refused(url, f"{name} is not taken after the ?", "Write it before the @, or keep it in ~/.pgpass")
        if name not in _PARAMETERS:
            raise _refused(url, f"unknown parameter {name!r}", f"Known: {', '.join(_PARAMETERS)}")
    if len(dict(pairs)) < len(pairs):
        raise _refused(url, "a parameter stands twice", f"Known: {', '.join(_PARAMETERS)}")
    found = dict(pairs)
    if found.get("sslmode", "prefer") not in _MODES:
        raise _refused(url, f"unknown sslmode {found['sslmode']!r}", f"Known: {', '.join(_MODES)}")
    for name in _FILES:
        if name in found and not Path(found[name]).is_file():
            raise _refused(url, f"{name}={found[name]} is no file", "Give the path of a PEM file")
    return found


def _schema(url: str, name: str) -> str:
    if not _NAME.fullmatch(name) or name.lower().startswith("pg_") or name.lower() == "information_schema":
        raise _refused(url, f"{name!r} is no schema for us", "Use letters, digits and underscore, at most 63, no pg_")
    return name


def _port(url: str, text: str) -> int:
    """The port of a URL; of the variable that every PostgreSQL client looks at, where it names none."""
    named = text or variable("PGPORT") or str(PORT)
    if not (named.isascii() and named.isdigit() and 0 < int(named) < 2**16):
        raise _refused(url, f"{named!r} is no port", "Give one number from 1 to 65535, in the URL or in PGPORT")
    return int(named)


def _patience(url: str, text: str) -> float:
    try:
        seconds = float(text or PATIENCE_S)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3_600:
        raise _refused(url, f"connect_timeout={text} is no time", "Give seconds, from above 0 to 3600")
    return seconds


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refused(url: str, problem: str, remedy: str) -> UsageError:
    return UsageError(f"the store {without_password(url)}: {problem}", remedy=remedy)
