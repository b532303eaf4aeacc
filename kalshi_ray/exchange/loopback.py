"""Ports of this machine's loopback interface, and the error where one cannot be had."""

from __future__ import annotations

import errno
import socket

from kalshi_ray.errors import UsageError

HOST = "127.0.0.1"


def require_free_port(port: int) -> None:
    """UsageError where nobody can serve on a port, before anything takes long. 0 is any free one."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError as problem:
            raise port_refused(port, problem) from problem


def port_refused(port: int, problem: OSError) -> UsageError:
    """What a port that the system refuses is called."""
    why = "something serves there already" if problem.errno == errno.EADDRINUSE else problem.strerror
    return UsageError(f"port {port} of {HOST}: {why}", remedy="Choose another (--port); 0 is any free one")
