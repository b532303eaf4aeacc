"""The flow of everybody else on the exchange's clock: as fast as it was, faster, or step by step.

Times of a tape are its own. `Pace` maps them to the exchange's clock: the first update falls on the start, and one
second of the tape lasts 1/speed seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kalshi_ray import telemetry
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import DataError
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowUpdate

Timed = tuple[int, FlowUpdate]  # tape time in ns, never falling


class Pace(NamedTuple):
    """How tape time becomes exchange time."""

    tape_ns: int
    start_ns: int
    speed: int

    def at(self, tape_ns: int) -> int:
        """The exchange time of a tape time."""
        return self.start_ns + (tape_ns - self.tape_ns) // self.speed

    def second_at(self, tape_ns: int) -> int:
        """The same as a whole second, as times of a market stand on the wire; never early. 0 stays unknown."""
        return -(-self.at(tape_ns) // SECOND) * SECOND if tape_ns else 0


class Replay:
    """An iterator of updates on its way to the exchange. Without a pace it moves only by `step`."""

    def __init__(self, updates: Iterable[Timed], pace: Pace | None) -> None:
        self._updates: Iterator[Timed] = iter(updates)
        self.pace = pace
        self.done = 0  # updates that reached the exchange
        self.skipped = 0  # of these, updates that the market could not follow
        self.tape_ns = 0  # of the latest
        self._coming = next(self._updates, None)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self._coming is None

    @property
    def next_ns(self) -> int | None:
        """When the next update is due; None where nothing is left or somebody steps."""
        if self._coming is None or self.pace is None:
            return None
        return self.pace.at(self._coming[0])

    def advance(self, exchange: Exchange, now_ns: int, most: int) -> bool:
        """Apply what is due up to now, at most so many updates; whether more is due."""
        pace = self.pace
        if pace is None:
            return False
        while self._coming is not None:
            at_ns = pace.at(self._coming[0])
            if at_ns > now_ns:
                return False
            if most <= 0:
                return True
            self._apply(exchange, at_ns)
            most -= 1
        return False

    def step(self, exchange: Exchange, now_ns: int, *, updates: int = 0, tape_ns: int = 0) -> int:
        """Apply the next updates, or those of the next stretch of the tape; how many there were."""
        before, until = self.done, (self.tape_ns or (self._coming[0] if self._coming else 0)) + tape_ns
        while self._coming is not None and (self.done - before < updates or (tape_ns and self._coming[0] <= until)):
            self._apply(exchange, now_ns)
        return self.done - before

    def _apply(self, exchange: Exchange, at_ns: int) -> None:
        assert self._coming is not None
        self.tape_ns, update = self._coming
        try:
            exchange.apply_flow(update, at_ns)
        except DataError as problem:  # a recording may say what a market cannot do, such as trade after its end
            self.skipped += 1
            telemetry.warning("replay.skipped", update=type(update).__name__, problem=str(problem))
        self.done += 1
        self._coming = next(self._updates, None)
