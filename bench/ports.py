"""Ports of loopback for servers whose number must be known before they bind."""

from __future__ import annotations

import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
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
