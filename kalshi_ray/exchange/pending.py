"""The commands of one connection that wait for an answer, and how many may be sent."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

import msgspec

from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.subscription import Subscription


class Aim(Enum):
    """What a command is to do."""

    ASK = auto()
    JOIN = auto()
    PART = auto()
    SNAPSHOT = auto()
    LEAVE = auto()
    AUDIT = auto()


class Pending(msgspec.Struct):
    """A command that was not answered yet."""

    aim: Aim
    subscription: Subscription | None  # AUDIT: None
    tickers: tuple[str, ...]
    deadline_ns: int


class Budget:
    """At most `rate` commands in any second."""

    def __init__(self, rate: int) -> None:
        self._sent: deque[int] = deque(maxlen=rate)  # times of the last commands

    def take(self, now_ns: int) -> bool:
        """Whether a command may be sent; if so it counts."""
        if len(self._sent) == self._sent.maxlen and now_ns < self._sent[0] + SECOND:
            return False
        self._sent.append(now_ns)
        return True
