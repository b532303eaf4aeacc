"""A line between client and server that breaks after a given number of bytes, as often as it is told to."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

How = Literal["cut", "stall", "kill"]


@dataclass(frozen=True)
class Break:
    """When the line breaks: after so many bytes in one direction, over all connections, and how."""

    at: int
    towards: Literal["server", "client"]
    how: How  # cut: both ends see it; stall: neither does; kill: the server is killed, and started again


class Line:
    """Loopback to a Unix socket. `breaks` happen once each, the earliest in their direction first."""

    def __init__(self, target: Path, breaks: list[Break], restart: Callable[[], None]) -> None:
        self.passed = {"server": 0, "client": 0}
        self.broken = 0
        self._target = str(target)
        self._breaks = sorted(breaks, key=lambda one: one.at)
        self._restart = restart
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stalled: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    @property
    def port(self) -> int:
        """Where clients connect to."""
        port: int = self._listener.getsockname()[1]
        return port

    def close(self) -> None:
        """No more connections; wait for those there are."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._stalled:
            end.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:  # it is being started again
                client.close()
                continue
            self._spawn(self._carry, client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        towards = {client: ("server", server), server: ("client", client)}
        while True:
            for source in select.select([client, server], [], [], 60)[0]:
                direction, target = towards[source]
                try:
                    data = source.recv(1 << 16)
                    breaking, passing = self._judged(direction, data)
                    target.sendall(data[:passing])
                except OSError:
                    data, breaking = b"", None
                if breaking is not None and breaking.how == "stall":
                    self._stalled += [client, server]
                    return
                if breaking is not None and breaking.how == "kill":
                    self._restart()
                if breaking is not None or not data:
                    client.close()
                    server.close()
                    return

    def _judged(self, direction: str, data: bytes) -> tuple[Break | None, int]:
        """Whether the line breaks within `data`, and how much of it still passes."""
        with self._lock:
            before = self.passed[direction]
            self.passed[direction] += len(data)
            for one in self._breaks:
                if one.towards == direction and one.at < before + len(data):
                    self._breaks.remove(one)
                    self.broken += 1
                    return one, max(0, one.at - before)
        return None, len(data)
