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


# -- what cannot be read


def test_frames_that_nobody_has_seen_before_are_kept_counted_and_told() -> None:
    made = Recorded()
    odd = frame("orderbook_hologram", {"depth": 3}, sid=1, seq=3)
    made.hear(odd, delta("A", 4))
    assert [kind for kind, *_ in made.rows] == ["DELTA"], "its number counts"
    assert made.line.counts["unknown type orderbook_hologram"] == 1
    (told,) = made.line.take_happenings()
    assert (told.what, told.line, told.at_ns) == ("Unknown", 7, made.now) and "hologram" in str(told)
    assert made.line.take_happenings() == []
    assert odd in [one.content for one in raw_inputs(made.blocks)]


def test_whatever_comes_is_kept_and_what_is_broken_is_told() -> None:
    made = Recorded()
    for at, raw in enumerate(ODD):
        made.hear(raw, delta("A", 3 + at))
    made.blocks += made.line.flush(made.now)
    kept = [one.content for one in raw_inputs(made.blocks) if isinstance(one.content, bytes)]
    assert [raw for raw in kept if b"orderbook_delta" not in raw] == [
        raw for raw in ODD if b"orderbook_delta" not in raw
    ]
    happenings = made.line.take_happenings()
    assert made.line.counts["broken frames"] == sum(one.what == "Broken" for one in happenings) > 20
    assert max(len(str(one)) for one in happenings) < 1_000, "no frame of megabytes"
    assert sum(kind == "DELTA" for kind, *_ in made.rows) == len(ODD), "and nothing else suffers"


def test_one_market_too_many_is_told_with_what_to_do() -> None:
    made = Recorded()
    made.line.join({"C": 9}, made.now)
    (join,) = made.wait(0.1)
    made.hear(error(26, id=join.id))
    made.wait(0.1)
    (told,) = made.line.take_happenings()
    assert told.tickers == ("C",) and "orderbook_delta of C" in told.text
    assert "lower exchange.tickers_per_connection" in told.text


def test_happenings_that_nobody_takes_do_not_pile_up() -> None:
    made = Recorded()
    made.hear(*[b"nonsense"] * (HAPPENINGS_MOST + 500))
    made.line.flush(made.now)
    assert len(made.line.take_happenings()) == HAPPENINGS_MOST
    assert made.line.counts["broken"] == HAPPENINGS_MOST + 500


# -- blocks


def test_a_block_comes_when_enough_frames_or_bytes_wait_or_it_is_time() -> None:
    made = Recorded()
    for seq in range(3, 2 + FRAMES_MOST):
        assert made.line.receive(delta("A", seq), made.now) == ()
    (block,) = made.line.receive(delta("A", 2 + FRAMES_MOST), made.now)
    assert block.frames == len(block.rows) == FRAMES_MOST == block.raw_lines and block.until_ns == made.now
    seq = 3 + FRAMES_MOST
    assert made.line.receive(delta("A", seq), made.now + BLOCK_NS - 1) == ()
    (block,) = made.line.receive(delta("A", seq + 1), made.now + BLOCK_NS)
    assert block.frames == 2 and block.until_ns == made.now + BLOCK_NS
    (block,) = made.line.receive(b"x" * BYTES_MOST, made.now + BLOCK_NS)
    assert block.frames == 1


def test_a_line_says_how_far_it_is_also_when_nothing_happens_and_without_a_connection() -> None:
    made = Recorded()
    made.wait(1)
    assert [block.until_ns for block in made.blocks] == [made.now - (9 - at) * BLOCK_NS for at in range(10)]
    assert not any(len(block.rows) for block in made.blocks)
    made.blocks = made.line.lost(made.now)
    made.wait(0.5)
    assert len(made.blocks) == 6 and made.blocks[-1].until_ns == made.now


def test_a_quiet_line_writes_little() -> None:
    made = Recorded()
    for _ in range(600):  # a minute with a ping every ten seconds and answers to audits
        made.now += 100 * MILLISECOND
        for raw in made.line.due(made.now):
            command = read_command(raw)
            assert isinstance(command, ListSubscriptions)
            made.hear(frame("ok", [{"channel": "orderbook_delta", "sid": 1}], id=command.id))
        made.blocks += made.line.take_events()
        if made.now % (10 * SECOND) == 0:
            made.line.heard(made.now)
    lines = raw_inputs(made.blocks)
    assert len(lines) <= 16, lines
    assert max(np.diff([one.recv_ns for one in lines])) <= 10 * SECOND


def test_blocks_keep_their_order_whoever_takes_them() -> None:
    made = Recorded()
    made.line.receive(delta("A", 3), made.now)
    made.line.due(made.now + BLOCK_NS)  # makes a block, which its task has not taken yet
    blocks = list(made.line.receive(delta("A", 4), made.now + 2 * BLOCK_NS))
    assert [block.rows["seq"].tolist() for block in blocks] == [[3], [4]] and made.line.take_events() == []


def test_times_that_fall_are_raised_and_counted() -> None:
    made = Recorded()
    made.line.receive(delta("A", 3), made.now)
    made.line.receive(delta("A", 4), made.now - 50)
    made.line.heard(made.now - 70)
    made.blocks += made.line.flush(made.now - 100)
    rows = np.concatenate([block.rows for block in made.blocks])
    assert rows["recv_ns"].tolist() == [made.now, made.now] and made.blocks[-1].until_ns == made.now
    assert made.line.counts["times that fell"] == 2


def test_without_raw_lines_there_are_rows_alone() -> None:
    kept, bare = Recorded(), Recorded(raw=False)
    for made in (kept, bare):
        made.hear(delta("A", 3), delta("A", 7), b"nonsense")
    assert kept.rows == bare.rows and not any(block.raw or block.raw_lines for block in bare.blocks)


def test_raw_lines_of_one_line_make_its_rows_whatever_happened() -> None:
    made = Recorded.__new__(Recorded)  # from its very first line on
    made.line, made.now, made.blocks = BookLine(7, EVERY, raw=True, block_ns=BLOCK_NS), NOW, []
    made.line.join(NUMBERS, made.now)
    made.line.connect(made.now)
    made.hear(subscribed(1, 2, "trade"))
    made.wait(0.1)
    made.hear(subscribed(2, 1), snapshot("A", 1), snapshot("B", 2), *ODD, delta("A", 4), error(10, sid=1, seq=5))
    made.wait(3)
    made.line.leave(["B"], made.now)
    made.blocks += made.line.lost(made.now)
    made.blocks += made.line.finish(made.now)
    check_rebuilt(made.blocks, np.concatenate([block.rows for block in made.blocks]))


def test_raw_lines_make_the_rows_of_a_line_that_was_refused_renumbered_and_not_answered() -> None:
    """An exchange that takes the one market late, counts anew, and has a list of subscriptions that says nothing."""
    made = Recorded.__new__(Recorded)
    made.line, made.now, made.blocks = BookLine(7, ALONE, raw=True, block_ns=BLOCK_NS), NOW, []
    made.line.join(NUMBERS, made.now)
    made.line.connect(made.now)
    made.hear(error(16, id=1))
    (first,) = made.wait(0.2)
    made.hear(subscribed(first.id, 1), snapshot(first.tickers[0], 1))
    (second,) = made.wait(0.2)
    made.hear(error(16, id=second.id))
    for _ in range(2):
        made.wait(16)
        made.line.heard(made.now)
    made.hear(*(delta(first.tickers[0], 2 + at) for at in range(30)), *(delta("A", 1 + at) for at in range(30)))
    for one in made.wait(15):
        made.hear(frame("ok", id=one.id, sid=1), frame("unsubscribed", id=one.id, sid=1), subscribed(one.id, 1))
    made.hear(snapshot("A", 1), snapshot("B", 2), delta("B", 3))
    made.wait(20)
    made.blocks += made.line.finish(made.now)
    rows = np.concatenate([block.rows for block in made.blocks])
    assert {Kind.GAP, Kind.DELTA, Kind.SNAPSHOT_END} <= set(rows["kind"].tolist())
    check_rebuilt(made.blocks, rows)


# -- settings


def test_a_recorder_needs_its_prints_and_reads_no_tickers() -> None:
    settings = recording_settings(EVERY)
    assert settings.channels == (Channel.TRADE, Channel.BOOK, Channel.TICKER)
    assert settings.books_need_trades and settings.unread == (Channel.TICKER,)
    assert recording_settings(settings) == settings
    assert recording_settings(ALONE) == ALONE


@pytest.mark.parametrize(
    "settings",
    [
        FeedSettings(channels=(Channel.TRADE,)),
        FeedSettings(channels=(Channel.BOOK, Channel.FILL)),
        FeedSettings(channels=(Channel.BOOK, Channel.LIFECYCLE)),
        FeedSettings(channels=(Channel.BOOK, Channel.TRADE), all_markets=(Channel.TRADE,)),
    ],
)
def test_what_is_no_line_of_books_is_refused(settings: FeedSettings) -> None:
    with pytest.raises(UsageError, match="a line of books records"):
        BookLine(7, settings, raw=True, block_ns=1)


def test_a_line_begins_with_its_settings() -> None:
    made = BookLine(7, EVERY, raw=True, block_ns=BLOCK_NS)
    made.join(NUMBERS, NOW)
    opened, joined = (one.content for one in raw_inputs(made.flush(NOW)))
    assert opened == inputs.Opened(recording_settings(EVERY)) and joined == inputs.Joined(NUMBERS)
