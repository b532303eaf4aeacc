"""The book of the reference exchange: at every price a line of those who wait, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.exchange.reference.money import Order


@dataclass(eq=False)
class Flow:
    """Lots of everybody else that stand together."""

    lots: int


Line = list["Order | Flow"]


@dataclass
class Side:
    """One side of a market: lines by price, what the tape says of the flow, and what accounts took of that."""

    side: int
    lines: dict[int, Line] = field(default_factory=dict)
    taped: dict[int, int] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)

    def reaches(self, limit: int, price: int) -> bool:
        """Whether what stands here at `price` meets an order of the other side with that limit."""
        return price >= limit if self.side == 0 else price <= limit

    def prices(self) -> list[int]:
        """Best first."""
        return sorted(self.lines, reverse=self.side == 0)

    def tidy(self) -> None:
        """Flow that stands together is one; who has nothing left is gone."""
        for price, line in list(self.lines.items()):
            kept: Line = []
            for entry in line:
                if isinstance(entry, Flow) and kept and isinstance(kept[-1], Flow):
                    kept[-1].lots += entry.lots
                elif (entry.lots if isinstance(entry, Flow) else entry.left) > 0:
                    kept.append(entry)
            self.lines[price] = kept
            if not kept:
                del self.lines[price]

    def orders(self) -> Iterator[Order]:
        """Orders of accounts by price and time."""
        for price in self.prices():
            yield from [entry for entry in self.lines[price] if isinstance(entry, Order)]

    def join(self, entry: Order | Flow, price: int) -> None:
        """To the back of the line."""
        self.lines.setdefault(price, []).append(entry)

    def leave(self, order: Order) -> None:
        """Out of the line."""
        self.lines[order.price].remove(order)

    def ahead_of(self, order: Order) -> int:
        """Lots in front of an order."""
        line = self.lines[order.price]
        return sum(e.lots if isinstance(e, Flow) else e.left for e in line[: line.index(order)])

    def shown(self) -> dict[int, int]:
        """Lots by price."""
        return {p: sum(e.lots if isinstance(e, Flow) else e.left for e in line) for p, line in self.lines.items()}

    def flow_at(self, price: int) -> int:
        """Lots of the flow at a price."""
        return sum(entry.lots for entry in self.lines.get(price, []) if isinstance(entry, Flow))

    # -- the flow

    def take_from_back(self, price: int, lots: int) -> None:
        """Flow leaves: who came last goes first."""
        for entry in reversed(self.lines.get(price, [])):
            if isinstance(entry, Flow):
                gone = min(lots, entry.lots)
                entry.lots -= gone
                lots -= gone

    def shrink(self, price: int, lots: int) -> None:
        """The tape says that a level shrinks: first by what accounts took of it, then by what stands there."""
        taken = self.taken.pop(price, 0)
        self.taped[price] -= lots
        self.take_from_back(price, max(0, lots - taken))
        if taken > lots:
            self.taken[price] = taken - lots
        if not self.taped[price]:
            del self.taped[price]
            self.taken.pop(price, None)

    def restate(self, taped: dict[int, int]) -> None:
        """The tape says the whole side: lots in front of an order remain as far as they are still there."""
        self.taken.clear()
        for price in set(self.taped) | set(taped):
            change = taped.get(price, 0) - self.flow_at(price)
            if change > 0:
                self.join(Flow(change), price)
            else:
                self.take_from_back(price, -change)
        self.taped = dict(taped)
