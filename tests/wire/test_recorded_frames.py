"""Every recorded frame is read without a remainder and written back as it came."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.decode import crossings, decode_book
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, Trade
from kalshi_ray.wire.sequence import Order, SequenceTracker
from tests.data.samples import recorded

# Written with use_yes_price=true is the one that says so in its description.
RECORDINGS = [
    ("jfreun123_kalshi-market-maker/ws_orderbook.jsonl", False),
    ("landonct_kalshi-websockets_excerpt/ws_snapshots_excerpt.jsonl", False),
    ("landonct_kalshi-websockets_excerpt/ws_deltas_trades_excerpt.jsonl", False),
    ("ws_rest_fixtures_fortuna_demo/ws__orderbook_trade_noleg.jsonl", False),
    ("ws_rest_fixtures_fortuna_demo/ws__orderbook_trade_yes.jsonl", True),
]


class Line(msgspec.Struct):
    """A frame, bare or with its receive time."""

    msg: msgspec.Raw = msgspec.Raw()
    timestamp: int = 0


def frames_of(path: Path) -> Iterator[bytes]:
    for line in path.read_bytes().splitlines():
        if line.strip():
            wrapped = msgspec.json.decode(line, type=Line)
            yield bytes(wrapped.msg) if wrapped.timestamp else line


@pytest.mark.parametrize(("name", "use_yes_price"), RECORDINGS)
def test_recorded_frames_survive_the_way_there_and_back(name: str, use_yes_price: bool) -> None:
    codec = Codec(use_yes_price=use_yes_price)
    for raw in frames_of(recorded(*name.split("/"))):
        message = codec.decode(raw)
        encoded = codec.encode(message)
        assert codec.decode(encoded) == message
        assert_says_nothing_else(msgspec.json.decode(encoded), msgspec.json.decode(raw))
    assert not codec.unknown_keys and not codec.unknown_types and not codec.unknown_words


def assert_says_nothing_else(written: Any, came: Any) -> None:
    """Every key written has the very text of the frame; what is left out is named here."""
    for key, value in written.items():
        if key == "msg" and isinstance(value, dict):
            assert_says_nothing_else(value, came["msg"])
        elif key in came:
            assert value == came[key], key
        else:  # the excerpt left these two out
            assert key in ("taker_outcome_side", "taker_book_side")
    assert set(came) - set(written) <= {"market_id", "ts", "trade_id"}


@pytest.mark.parametrize(("name", "use_yes_price"), RECORDINGS)
def test_recorded_books_never_cross_on_the_axis_they_were_recorded_with(name: str, use_yes_price: bool) -> None:
    codec = Codec(use_yes_price=use_yes_price)
    for raw in frames_of(recorded(*name.split("/"))):
        message = codec.decode(raw)
        if isinstance(message, BookSnapshot):
            assert not crossings(message)[0]


def test_the_same_book_recorded_both_ways_is_the_same_book() -> None:
    """Bid 47, ask 52 cents, whichever way the NO side was sent."""
    books = []
    for name, use_yes_price in RECORDINGS[3:]:
        codec = Codec(use_yes_price=use_yes_price)
        messages = [codec.decode(raw) for raw in frames_of(recorded(*name.split("/")))]
        books.append(next(m for m in messages if isinstance(m, BookSnapshot)))
    assert [(book.bids[0][0], book.asks[0][0]) for book in books] == [(4700, 5200), (4700, 5200)]


def test_control_frames_are_part_of_the_recorded_sequence() -> None:
    tracker, codec = SequenceTracker(), Codec(use_yes_price=False)
    orders = []
    for raw in frames_of(recorded(*RECORDINGS[0][0].split("/"))):
        message = codec.decode(raw)
        orders.append(tracker.receive(message.sid, message.seq).order)
    assert set(orders) == {Order.NEXT, Order.UNNUMBERED}
    assert orders.count(Order.NEXT) == 2221


def test_recorded_deltas_apply_without_a_negative_level() -> None:
    codec = Codec(use_yes_price=False)
    book: dict[tuple[str, Side, int], int] = {}
    for raw in frames_of(recorded(*RECORDINGS[0][0].split("/"))):
        message = codec.decode(raw)
        if isinstance(message, BookSnapshot):
            for side, levels in ((Side.BID, message.bids), (Side.ASK, message.asks)):
                book |= {(message.ticker, side, price): size for price, size in levels}
        elif isinstance(message, BookDelta):
            level = (message.ticker, message.side, message.price)
            book[level] = book.get(level, 0) + message.change
            assert book[level] >= 0


def test_a_recorded_print_has_the_time_of_the_change_it_caused() -> None:
    codec = Codec(use_yes_price=False)
    messages = [codec.decode(raw) for raw in frames_of(recorded(*RECORDINGS[2][0].split("/")))]
    changes = {(m.ticker, m.price, m.exch_ns, m.change) for m in messages if isinstance(m, BookDelta)}
    trades = [m for m in messages if isinstance(m, Trade)]
    assert trades
    assert sum((m.ticker, m.price, m.exch_ns, -m.size) in changes for m in trades) >= len(trades) - 1


def test_the_rest_book_is_the_streamed_book() -> None:
    raw = recorded("ws_rest_fixtures_fortuna_demo", "orderbook__base.json").read_bytes()
    book = decode_book("A", raw)
    assert (book.bids, book.asks) == (((4700, 300),), ((5200, 300),))


def test_legacy_books_agree_in_cents_and_dollars() -> None:
    lines = recorded("eshan327_kalshi_mm", "rest_orderbook_KXNBASPREAD-25NOV05BKNIND-IND12.jsonl").read_bytes()
    for line in lines.splitlines():
        content = msgspec.json.decode(line)["order_book"]["orderbook"]
        cents = {key: content[key] for key in ("yes", "no")}
        assert decode_book("A", msgspec.json.encode(cents)) == decode_book("A", msgspec.json.encode(content))
        assert all(Decimal(price) * DOLLAR % 100 == 0 for price, _ in content["yes_dollars"])
