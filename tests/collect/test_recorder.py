"""A line of books alone: which rows and blocks its frames make, and what it says of those that it cannot read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kalshi_ray.collect import inputs
from kalshi_ray.collect.block import SIDS, Block
from kalshi_ray.collect.line import BYTES_MOST, FRAMES_MOST, HAPPENINGS_MOST, sid_of
from kalshi_ray.collect.recorder import BookLine, recording_settings
from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.errors import UnknownName, UsageError
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.wire.commands import Channel, ListSubscriptions, read_command
from tests.collect.course import check_rebuilt, raw_inputs
from tests.collect.test_inputs import ODD
from tests.exchange.test_feed import PRINT, delta, error, frame, snapshot, subscribed

NOW = 1_791_000_000 * SECOND
BLOCK_NS = 100 * MILLISECOND
NUMBERS = {"A": 5, "B": 0}
ALONE = FeedSettings(channels=(Channel.BOOK,))
EVERY = FeedSettings(channels=(Channel.BOOK, Channel.TRADE, Channel.TICKER))
BOOK_SID, TRADE_SID = 7 * SIDS + 1, 7 * SIDS + 2


class Recorded:
    """A line, its clock and its blocks. The next number of its books, sid 1, is 3."""

    def __init__(self, settings: FeedSettings = ALONE, *, raw: bool = True) -> None:
        self.line, self.now, self.blocks = BookLine(7, settings, raw=raw, block_ns=BLOCK_NS), NOW, list[Block]()
        self.line.join(NUMBERS, self.now)
        self.line.connect(self.now)
        if settings is EVERY:
            self.hear(subscribed(1, 2, "trade"))
            self.wait(0.1)
            self.hear(subscribed(3, 3, "ticker"))
        self.hear(subscribed(2, 1), snapshot("A", 1), snapshot("B", 2))
        self.wait(0.1)
        assert self.line.known_books == 2
        self.blocks.clear()

    def hear(self, *frames: bytes) -> None:
        for raw in frames:
            self.blocks += self.line.receive(raw, self.now)

    def wait(self, seconds: float) -> list[Any]:
        """Time passes in tenths of a second; the commands but for audits."""
        sent = []
        for _ in range(round(10 * seconds)):
            self.now += 100 * MILLISECOND
            sent += [read_command(raw) for raw in self.line.due(self.now)]
            self.blocks += self.line.take_events()
        return [one for one in sent if not isinstance(one, ListSubscriptions)]

    @property
    def rows(self) -> list[tuple[str, int, int, int]]:
        """(kind, market, sid, size) of all rows so far."""
        self.blocks += self.line.flush(self.now)
        whole = np.concatenate([block.rows for block in self.blocks])
        return [(Kind(int(r["kind"])).name, int(r["market"]), int(r["sid"]), int(r["size"])) for r in whole]


# -- rows


def test_rows_have_the_numbers_and_sids_of_the_session() -> None:
    made = Recorded(EVERY)
    made.hear(delta("A", 3), delta("B", 4), frame("trade", PRINT, sid=2, seq=1))
    assert made.rows == [("DELTA", 5, BOOK_SID, 100), ("DELTA", 0, BOOK_SID, 100), ("TRADE", 5, TRADE_SID, 100)]


def test_sids_of_a_line_are_its_own_and_fit_a_row() -> None:
    sids = [sid_of(line, channel) for line in (0, 1, 2**27 - 1) for channel in (Channel.BOOK, Channel.LIFECYCLE)]
    assert len(set(sids)) == len(sids) and max(sids) < 2**31
    for number in (-1, 2**27):
        with pytest.raises(UsageError, match="a line has a number from 0"):
            BookLine(number, ALONE, raw=True, block_ns=1)


def test_a_thousand_markets_in_any_order_keep_their_numbers() -> None:
    line = BookLine(7, ALONE, raw=False, block_ns=BLOCK_NS)
    numbers = {f"M{at}": 3 * (1_000 - at) for at in range(1_000)}
    for ticker, number in numbers.items():
        line.join({ticker: number}, NOW)
    line.connect(NOW)
    line.receive(subscribed(1), NOW)
    for seq, ticker in enumerate(numbers, start=1):
        line.receive(snapshot(ticker, seq), NOW)
    rows = np.concatenate([block.rows for block in line.flush(NOW)])
    assert rows["market"][rows["kind"] == Kind.SNAPSHOT_END].tolist()[-400:] == list(numbers.values())[-400:]
    assert line.known_books == 1_000 == len(line.tickers)


def test_a_market_cannot_have_two_numbers_and_none_is_below_zero() -> None:
    line = Recorded().line
    line.join({"A": 5}, NOW + SECOND)
    for wrong in ({"A": 6}, {"C": -1}):
        with pytest.raises(UsageError):
            line.join(wrong, NOW + SECOND)
    assert line.tickers == ("A", "B")


def test_what_comes_of_other_markets_makes_no_row() -> None:
    made = Recorded(EVERY)
    made.hear(
        delta("C", 3), snapshot("C", 4), frame("trade", PRINT | {"market_ticker": "C"}, sid=2, seq=1), delta("A", 5)
    )
    assert made.rows == [("DELTA", 5, BOOK_SID, 100)]
    assert made.line.counts["frames of other markets"] == 3 and made.line.counts["gaps"] == 0


def test_a_market_that_leaves_ends_in_a_gap_of_its_own_and_comes_back_with_a_snapshot() -> None:
    made = Recorded()
    made.line.leave(["A"], made.now)
    made.hear(delta("A", 3))
    (part,) = made.wait(0.1)
    assert part.tickers == ("A",)
    assert made.rows == [("GAP", 5, BOOK_SID, GapCause.RECORDER)]
    made.hear(frame("ok", {"market_tickers": ["B"]}, id=part.id, sid=1, seq=4))
    made.line.join({"A": 5}, made.now)
    (join,) = made.wait(0.1)
    made.hear(frame("ok", {"market_tickers": ["A", "B"]}, id=join.id, sid=1, seq=5), snapshot("A", 6), delta("A", 7))
    assert [kind for kind, *_ in made.rows] == ["GAP", "SNAPSHOT_LEVEL", "SNAPSHOT_LEVEL", "SNAPSHOT_END", "DELTA"]
    with pytest.raises(UnknownName):
        made.line.leave(["C"], made.now)


def test_duplicates_and_late_frames_make_no_row() -> None:
    made = Recorded()
    made.hear(delta("A", 3), delta("A", 3), delta("A", 2), delta("B", 4))
    assert [market for _, market, _, _ in made.rows] == [5, 0] and made.line.counts["duplicates"] == 2


def test_tickers_are_kept_raw_and_make_no_row() -> None:
    made = Recorded(EVERY)
    made.blocks.clear()
    tickers = [
        frame("ticker", {"market_ticker": "A", "price_dollars": f"0.{at}000", "x": [at]}, sid=3) for at in range(9)
    ]
    made.hear(delta("A", 3), *tickers)
    assert made.rows == [("DELTA", 5, BOOK_SID, 100)]
    assert [one.content for one in raw_inputs(made.blocks)] == [delta("A", 3), *tickers]


def test_an_exchange_time_that_cannot_be_is_unknown() -> None:
    made = Recorded()
    made.hear(delta("A", 3, ts_ms=NOW // MILLISECOND + 1_000), delta("A", 4, ts_ms=8_000_000_000_000))
    (block,) = made.line.flush(made.now)
    assert block.rows["exch_ns"].tolist() == [NOW + SECOND, 0]
    assert made.line.counts["exchange times that cannot be"] == 1


# -- losses


def test_every_kind_of_loss_is_a_gap_row() -> None:
    made = Recorded(EVERY)
    made.hear(delta("A", 4))
    assert made.rows[0] == ("GAP", -1, BOOK_SID, GapCause.SEQUENCE)
    made.hear(snapshot("A", 5), snapshot("B", 6), delta("A", 7, price="0.5300"))
    assert made.rows[-1] == ("GAP", 5, BOOK_SID, GapCause.SEQUENCE), "bids meet asks"
    before = len(made.rows)
    made.hear(frame("trade", PRINT, sid=2, seq=2))
    assert [row[2] for row in made.rows[before:] if row[0] == "GAP"] == [TRADE_SID, BOOK_SID]
    before = len(made.rows)
    made.hear(error(25, sid=1, seq=8))
    assert made.rows[before:] == [("GAP", -1, BOOK_SID, GapCause.SEQUENCE)]
    made.blocks += made.line.lost(made.now)
    assert made.rows[before + 1 :] == [("GAP", -1, TRADE_SID, GapCause.RECONNECT)], "no books were to be lost"


def test_a_line_that_ends_gives_what_it_has_once_and_no_gap() -> None:
    made = Recorded(EVERY)
    made.hear(delta("A", 3))
    *_, last = made.line.finish(made.now)
    assert last.is_last and last.until_ns == made.now
    assert [(row["kind"], row["sid"], row["size"]) for row in last.rows] == [(Kind.DELTA, BOOK_SID, 100)]
    assert made.line.finish(made.now) == [] and not made.line.is_online
