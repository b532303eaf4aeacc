"""The books of many markets: arrays of book records, changed by rows, read by ticker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.book import book_dtype
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.errors import UnknownName
from kalshi_ray.exchange.book_rows import APPLIED, LEVELS, NOWHERE, PLACE, STEPS, apply_rows
from kalshi_ray.wire.fast import Names
from kalshi_ray.wire.rows import ROW

Level = tuple[int, int]  # price in pips, size in lots


class RowBuffer:
    """Rows in the order in which they happened, until someone takes them."""

    def __init__(self, room: int = 4096) -> None:
        self._rows = np.zeros(room, ROW)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> NDArray[Any]:
        """All rows since `clear`, ROW records: a view that the next frame may overwrite."""
        return self._rows[: self._count]

    def clear(self) -> None:
        """Forget the rows, which were taken."""
        self._count = 0

    def cut(self, count: int) -> None:
        """Keep the first `count` rows alone."""
        self._count = count

    def append(self, rows: NDArray[Any]) -> None:
        """Rows of which no book needs to know."""
        self.room_for(len(rows))[: len(rows)] = rows
        self.wrote(len(rows))

    def room_for(self, count: int) -> NDArray[Any]:
        """The rows behind the last, at least `count`; `wrote` says how many were used."""
        if self._count + count > len(self._rows):
            grown = np.zeros(max(2 * len(self._rows), self._count + count), ROW)
            grown[: self._count] = self.rows
            self._rows = grown
        return as_rows(self._rows[self._count :])

    def wrote(self, count: int) -> None:
        """Rows behind the last were written."""
        self._count += count


class _Shelf:
    """Books of one size class."""

    def __init__(self, levels: int, step: int) -> None:
        self._empty = np.zeros((), book_dtype(levels))
        self._empty["levels"], self._empty["best"], self._empty["valid"] = levels, (-1, levels), 1
        self._empty["prices"] = np.arange(1, levels + 1) * step
        self.books = as_rows(np.zeros(0, book_dtype(levels)))
        self._bytes: NDArray[Any] = np.zeros(0, "V1")
        self._free: list[int] = []

    def take(self) -> int:
        """The slot of an empty, unknown book."""
        if not self._free:
            count = len(self.books)
            grown = np.empty(max(8, 2 * count), self.books.dtype)
            grown[:count] = self.books
            self.books = as_rows(grown)
            self._bytes = grown.view(f"V{grown.itemsize}")  # a record is copied fastest without its fields
            self._free = list(range(len(grown) - 1, count - 1, -1))
        slot = self._free.pop()
        self._bytes[slot] = self._empty.tobytes()
        return slot

    def give_back(self, slot: int) -> None:
        """The slot is free again."""
        self._free.append(slot)


class Books:
    """Books by ticker. They know nothing of subscriptions: who finds a gap says so with `forget`."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._shelves = [_Shelf(levels, int(step)) for levels, step in zip(LEVELS, STEPS)]
        self._places = as_rows(_nowhere(64))
        self._applied = as_rows(np.zeros(1, APPLIED))[0]
        self._hurt = np.zeros(0, np.int32)

    def __getitem__(self, ticker: str) -> BookView:
        market = self._names.find(ticker)
        if not self._has(market):
            raise UnknownName("book of a market", ticker, list(self))
        return BookView(self, market)

    def __contains__(self, ticker: str) -> bool:
        return self._has(self._names.find(ticker))

    def __iter__(self) -> Iterator[str]:
        return (ticker for market, ticker in enumerate(self._names.tickers) if self._has(market))

    def __len__(self) -> int:
        return int((self._places["size_class"] != NOWHERE).sum())

    @property
    def early(self) -> int:
        """Deltas that came before the snapshot of their book, and changed nothing."""
        return int(self._applied["early"])

    def open(self, market: int) -> None:
        """Keep the book of a market, unknown at first."""
        self._grow()
        if not self._has(market):
            self._places[market] = (0, self._shelves[0].take(), 0)

    def close(self, market: int) -> None:
        """Keep it no longer."""
        if self._has(market):
            place = self._places[market]
            self._shelves[int(place["size_class"])].give_back(int(place["slot"]))
            self._places[market] = (NOWHERE, 0, 0)

    def forget(self, markets: Iterable[int]) -> None:
        """These books are unknown until their next snapshot."""
        chosen = np.fromiter(markets, np.int64)
        places = self._places[chosen]
        for size_class, shelf in enumerate(self._shelves):
            slots = places["slot"][places["size_class"] == size_class]
            shelf.books["known"][slots] = 0
            shelf.books["in_snapshot"][slots] = 0

    def known(self, markets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these books are known, [markets]."""
        places, result = self._places[markets], np.zeros(len(markets), bool)
        for size_class, shelf in enumerate(self._shelves):
            here = places["size_class"] == size_class
            result[here] = shelf.books["known"][places["slot"][here]] == 1
        return result

    def apply(self, rows: NDArray[Any], buffer: RowBuffer) -> list[int]:
        """Apply rows and append them to `buffer`; return the markets whose books turned out wrong, now unknown.

        A book is wrong when a level would be negative or is no price, or when bids meet asks.
        """
        self._grow()
        if len(self._hurt) < len(rows):
            self._hurt = np.zeros(len(rows), np.int32)
        applied, out, rows = self._applied, buffer.room_for(2 * len(rows)), as_rows(rows)
        applied["written"], applied["hurt"], at = 0, 0, 0
        while True:
            cents, tenths, hundredths = (shelf.books for shelf in self._shelves)
            at = apply_rows(rows, at, self._places, cents, tenths, hundredths, applied, out, self._hurt)
            if not applied["needs_room"]:
                break
            self._refine(int(rows[at]["market"]), int(rows[at]["price"]))
        buffer.wrote(int(applied["written"]))
        hurt: list[int] = self._hurt[: int(applied["hurt"])].tolist()
        return hurt

    def record(self, market: int) -> Any:
        """The BOOK record of a market."""
        place = self._places[market]
        return self._shelves[int(place["size_class"])].books[int(place["slot"])]

    def _has(self, market: int) -> bool:
        return 0 <= market < len(self._places) and bool(self._places[market]["size_class"] != NOWHERE)

    def _grow(self) -> None:
        if len(self._names) > len(self._places):
            grown = _nowhere(2 * len(self._names))
            grown[: len(self._places)] = self._places
            self._places = as_rows(grown)

    def _refine(self, market: int, price: int) -> None:
        """Move a book to the coarsest axis that has `price`, with all it holds."""
        place, coarse = self._places[market], self.record(market)
        target = next(number for number, step in enumerate(STEPS) if price % step == 0)
        slot = self._shelves[target].take()
        fine = self._shelves[target].books[slot]
        factor = int(STEPS[place["size_class"]] // STEPS[target])
        ticks = (np.arange(int(coarse["levels"])) + 1) * factor - 1
        for name in ("known", "in_snapshot", "damaged", "count", "total"):
            fine[name] = coarse[name]
        fine["recorded"][:, ticks] = coarse["recorded"]
        bid, ask = (int(tick) for tick in coarse["best"])
        # No bid stands at tick -1, no ask one behind the last: the same sum holds for both.
        fine["best"] = ((bid + 1) * factor - 1, (ask + 1) * factor - 1)
        self._shelves[int(place["size_class"])].give_back(int(place["slot"]))
        self._places[market] = (target, slot, int(place["spoiled"]))


class BookView:
    """One book, as it is when it is asked. Prices in pips on the YES axis, sizes in lots."""

    def __init__(self, books: Books, market: int) -> None:
        self._books = books
        self._market = market

    def __repr__(self) -> str:
        return f"BookView(known={self.known}, best_bid={self.best_bid}, best_ask={self.best_ask})"

    @property
    def known(self) -> bool:
        """Whether it is the exchange's book as of the last frame; otherwise it is of the past, or nothing."""
        return bool(self._books.record(self._market)["known"])

    @property
    def best_bid(self) -> int | None:
        """Highest bid; None where there is none."""
        return self._price(Side.BID)

    @property
    def best_ask(self) -> int | None:
        """Lowest ask; None where there is none."""
        return self._price(Side.ASK)

    @property
    def bids(self) -> tuple[Level, ...]:
        """All bids, best first."""
        return self._levels(Side.BID)[::-1]

    @property
    def asks(self) -> tuple[Level, ...]:
        """All asks, best first."""
        return self._levels(Side.ASK)

    def size_at(self, side: Side, price: int) -> int:
        """Lots at a price, 0 where nothing stands."""
        return dict(self._levels(side)).get(price, 0)

    def _price(self, side: Side) -> int | None:
        book = self._books.record(self._market)
        tick = int(book["best"][side])
        return int(book["prices"][tick]) if 0 <= tick < int(book["levels"]) else None

    def _levels(self, side: Side) -> tuple[Level, ...]:
        book = self._books.record(self._market)
        sizes = book["recorded"][side]
        ticks = np.flatnonzero(sizes)
        return tuple(zip(book["prices"][ticks].tolist(), sizes[ticks].tolist()))


def is_on_other_axis(rows: NDArray[Any], market: int) -> bool:
    """Whether the bids and asks of a snapshot meet, and would not if its asks stood at one dollar less their prices."""
    levels = rows[(rows["market"] == market) & (rows["kind"] == Kind.SNAPSHOT_LEVEL)]
    bids, asks = (levels["price"][levels["side"] == side] for side in (Side.BID, Side.ASK))
    if not len(bids) or not len(asks):
        return False
    return bool(bids.max() >= asks.min() and bids.max() < DOLLAR - asks.max())


def _nowhere(count: int) -> NDArray[Any]:
    """Places of markets without a book."""
    places = np.zeros(count, PLACE)
    places["size_class"] = NOWHERE
    return places
