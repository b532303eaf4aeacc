"""Which line records which market: events together, lines evenly filled, no number given twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kalshi_ray.errors import UnknownName


@dataclass
class Line:
    """A line, the shard that has it, and its markets with their events."""

    number: int
    shard: int
    markets: dict[str, str] = field(default_factory=dict)  # ticker to event


class Assignment:
    """Lines of all shards. `first_line`: the least number that no line of the session has had."""

    def __init__(self, shards: int, per_line: int, first_line: int) -> None:
        self.shards, self.per_line, self.next_line = shards, per_line, first_line
        self.lines: dict[int, Line] = {}
        self._line_of: dict[str, int] = {}  # ticker to line
        self._events: dict[str, int] = {}  # event to the line of its last market

    def __contains__(self, ticker: str) -> bool:
        return ticker in self._line_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._line_of)

    def place(self, markets: Mapping[str, str]) -> dict[int, list[str]]:
        """Give each market (ticker to event) a line; tickers by line."""
        placed: dict[int, list[str]] = {}
        for ticker, event in sorted(markets.items(), key=lambda pair: (pair[1], pair[0])):
            if ticker in self._line_of:
                continue
            line = self._line_for(event)
            line.markets[ticker] = event
            self._line_of[ticker] = self._events[event] = line.number
            placed.setdefault(line.number, []).append(ticker)
        return placed

    def leave(self, tickers: Iterable[str]) -> dict[int, list[str]]:
        """Take markets off their lines; tickers by line."""
        left: dict[int, list[str]] = {}
        for ticker in tickers:
            if ticker not in self._line_of:
                raise UnknownName("recorded market", ticker, list(self._line_of))
            number = self._line_of.pop(ticker)
            markets = self.lines[number].markets
            event = markets.pop(ticker)
            if self._events.get(event) == number and event not in markets.values():
                del self._events[event]
            left.setdefault(number, []).append(ticker)
        return left

    def lost(self, shard: int) -> tuple[list[int], dict[str, str]]:
        """A shard is gone: its lines, which are over, and their markets, which have none now."""
        numbers = [line.number for line in self.lines.values() if line.shard == shard]
        markets: dict[str, str] = {}
        for number in numbers:
            markets |= self.lines.pop(number).markets
        for ticker in markets:
            del self._line_of[ticker]
        self._events = {event: line for event, line in self._events.items() if line in self.lines}
        return numbers, markets

    def _line_for(self, event: str) -> Line:
        of_event = self.lines.get(self._events.get(event, -1))
        if of_event is not None and len(of_event.markets) < self.per_line:
            return of_event
        load = dict.fromkeys(range(self.shards), 0)
        for line in self.lines.values():
            load[line.shard] += len(line.markets)
        shard = min(load, key=lambda one: (load[one], one))
        for line in self.lines.values():
            if line.shard == shard and len(line.markets) < self.per_line:
                return line
        made = self.lines[self.next_line] = Line(self.next_line, shard)
        self.next_line += 1
        return made
