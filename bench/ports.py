"""Places where servers listen: ports of loopback that must be known before they are bound, and folders for sockets."""

from __future__ import annotations

import random
import socket
import tempfile
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
SHORT = 40  # characters of a path that leave room for the name of a socket, which has 107 bytes with its folder
LEAST, USUAL = 10_000, 32_768  # the first that may be taken here, and the first that Linux gives to who asks for any


def free_port() -> int:
    """A port that nobody has, and that the system gives to nobody who asks for any: it stays free until it is bound,
    also while its server is away."""
    first_given = int(RANGE.read_text().split()[0]) if RANGE.exists() else USUAL
    ports = range(LEAST, first_given) if first_given > LEAST else range(LEAST, 65_536)
    chance = random.SystemRandom()  # two processes with one seed would come to one port
    while True:
        port = chance.choice(ports)
        with socket.socket() as held:
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def socket_folder(prefix: str) -> Path:
    """A fresh folder for sockets; not below the folder for temporary files where that is deep."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix=prefix, dir=usual if len(usual) <= SHORT else "/tmp"))
