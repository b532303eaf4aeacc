"""The fast path reads what the codec reads, or steps aside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.data import recording
from kalshi_ray.wire import rows as wire_rows
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.fast import BOOK_FRAMES, TICKER_FRAMES, TRADE_FRAMES, Batch, FastReader, Followed, Names
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, Trade
from kalshi_ray.wire.rows import ROW, cells_of
from kalshi_ray.wire.scan import LEVELS_MOST
from tests.data.samples import recorded
from tests.examples import some_of
from tests.wire.odd_frames import TICKERS, Maker
from tests.wire.test_recorded_frames import RECORDINGS, frames_of

SID, TRADE_SID, SEQ = 7, 8, 41
DELTA = (
    b'{"type":"orderbook_delta","sid":7,"seq":42,"sending_ts_ms":1791000000120,"msg":{"market_ticker":"KXA-26-T1",'
    b'"market_id":"u","side":"no","price_dollars":"0.4700","delta_fp":"-3.00","ts":"2026-10-02T06:31:29.957081Z",'
    b'"ts_ms":1790922689957}}'
)


def names_of(tickers: list[str], bits: int = BOOK_FRAMES | TRADE_FRAMES) -> Names:
    names = Names()
    for ticker in tickers:
        names.want(names.enter(ticker), bits)
    return names


def rows_by_codec(raw: bytes, names: Names, *, use_yes_price: bool, recv_ns: int = 5) -> list[tuple[int, ...]] | None:
    """The rows as the codec and `cells_of` give them; None for frames that are not of the fast path."""
    codec = Codec(use_yes_price=use_yes_price)
    message = codec.decode(raw)
    if not isinstance(message, BookDelta | BookSnapshot | Trade):
        return None
    assert not codec.unknown_keys and not codec.unknown_words, "what is counted must not be taken"
    where = names.find(message.ticker), recv_ns, message.exch_ns, message.sid, message.seq
    return [(*where, *cells) for cells in cells_of(message)]


def taken(raw: bytes, names: Names, *, use_yes_price: bool = False) -> list[tuple[int, ...]] | None:
    """The rows of the fast path, None where it steps aside."""
    reader = FastReader(names, use_yes_price=use_yes_price)
    reader.follow([Followed(SID, SEQ, BOOK_FRAMES), Followed(TRADE_SID, SEQ, TRADE_FRAMES)])
    if reader.read(Batch([raw], np.array([5])), 0) == 0:
        assert reader.followed() == [(SID, SEQ), (TRADE_SID, SEQ)] and len(reader.rows) == 0
        return None
    return [tuple(row) for row in reader.rows.tolist()]


@pytest.mark.parametrize("oddness", [0.003, 0.02, 0.1])
@given(seed=st.integers(0, 10**9), use_yes_price=st.booleans())
@settings(max_examples=some_of(60))
def test_a_frame_that_is_taken_is_read_as_the_codec_reads_it(seed: int, use_yes_price: bool, oddness: float) -> None:
    maker, names = Maker(seed, oddness), names_of(TICKERS)
    for _ in range(20):
        raw = maker.frame(SID, SEQ + 1)
        raw = raw.replace(b'"sid":7', b'"sid":8') if b'"trade"' in raw else raw
        found = taken(raw, names, use_yes_price=use_yes_price)
        if found is not None:
            assert found == rows_by_codec(raw, names, use_yes_price=use_yes_price), raw


@given(seed=st.integers(0, 10**9), use_yes_price=st.booleans())
@settings(max_examples=some_of(60))
def test_documented_frames_are_taken_whatever_the_order_of_their_keys(seed: int, use_yes_price: bool) -> None:
    maker, names = Maker(seed, 0.0), names_of(TICKERS)
    for _ in range(10):
        raw = maker.frame(SID, SEQ + 1)
        raw = raw.replace(b'"sid": 7', b'"sid": 8').replace(b'"sid":7', b'"sid":8') if b'"trade"' in raw else raw
        by_codec = rows_by_codec(raw, names, use_yes_price=use_yes_price)
        needs_codec = b'"ts":"' in raw and (b'"ts_ms":0' in raw or b"ts_ms" not in raw.replace(b"sending_ts_ms", b""))
        assert needs_codec or taken(raw, names, use_yes_price=use_yes_price) == by_codec, raw


@pytest.mark.parametrize(("name", "use_yes_price"), RECORDINGS)
def test_recorded_frames_are_read_as_the_codec_reads_them(name: str, use_yes_price: bool) -> None:
    """Today's form is taken whole; what is older or not of books and trades is left to the codec."""
    frames = list(frames_of(recorded(*name.split("/"))))
    codec, names = Codec(use_yes_price=use_yes_price), Names()
    reader = FastReader(names, use_yes_price=use_yes_price)
    counts = {"taken": 0, "left": 0}
    for at, raw in enumerate(frames):
        message = codec.decode(raw)
        carries = TRADE_FRAMES if isinstance(message, Trade) else BOOK_FRAMES
        if isinstance(message, BookDelta | BookSnapshot | Trade):
            names.want(names.enter(message.ticker), BOOK_FRAMES | TRADE_FRAMES)
        reader.follow([Followed(message.sid, message.seq - 1, carries)])
        if reader.read(Batch([raw], np.array([at])), 0) == 1:
            by_codec = rows_by_codec(raw, names, use_yes_price=use_yes_price, recv_ns=at)
            assert [tuple(row) for row in reader.rows.tolist()] == by_codec
            counts["taken"] += 1
        else:
            counts["left"] += isinstance(message, BookDelta | BookSnapshot | Trade)
    assert counts["left"] == 0 or name.startswith("jfreun123")
    assert counts["taken"] > 0 or name.startswith("jfreun123")


def test_rows_are_columns_of_a_session() -> None:
    assert ROW == recording.ROW
    assert (wire_rows.ALL, wire_rows.BLOCK) == (recording.ALL, recording.FLAG_BLOCK)


@pytest.mark.parametrize(
    "change",
    [
        (b'"seq":42', b'"seq":43'),
        (b'"seq":42', b'"seq":41'),
        (b'"sid":7', b'"sid":9'),
        (b'"sid":7', b'"sid":8'),  # a subscription of trades
        (b"KXA-26-T1", b"KXA-26-T9"),
        (b'"market_id":"u"', b'"client_order_id":"mine"'),
    ],
)
def test_a_frame_that_is_not_the_next_of_a_wanted_market_is_left_to_the_feed(change: tuple[bytes, bytes]) -> None:
    names = names_of(TICKERS)
    assert taken(DELTA, names) == [(0, 5, 1_790_922_689_957_000_000, 7, 42, 3, 1, 5300, -300, -1, 0)]
    assert taken(DELTA.replace(*change), names) is None


def test_a_market_that_is_not_wanted_is_left_to_the_feed() -> None:
    names = names_of(TICKERS, TRADE_FRAMES)
    assert taken(DELTA, names) is None


def test_frames_are_taken_up_to_the_first_that_must_step_aside_and_from_any_on() -> None:
    names = names_of(TICKERS)
    frames = [DELTA.replace(b'"seq":42', b'"seq":%d' % seq) for seq in range(42, 52)]
    frames[4] = frames[4].replace(b"ts_ms", b"flavour")
    batch, reader = Batch(frames, np.arange(10)), FastReader(names, use_yes_price=False)
    reader.follow([Followed(SID, SEQ, BOOK_FRAMES)])
    assert reader.read(batch, 0) == 4
    assert reader.rows["recv_ns"].tolist() == [0, 1, 2, 3]
    assert reader.read(batch, 5) == 5, "number 46 did not come"
    reader.follow([Followed(SID, 46, BOOK_FRAMES)])
    assert reader.read(batch, 5) == 10
    assert reader.rows["seq"].tolist() == [47, 48, 49, 50, 51]


def test_a_reader_without_room_for_one_more_frame_says_so() -> None:
    names = names_of(TICKERS)
    reader = FastReader(names, use_yes_price=False, room=0)
    frames = [DELTA.replace(b'"seq":42', b'"seq":%d' % seq) for seq in (42, 43)]
    reader.follow([Followed(SID, SEQ, BOOK_FRAMES)])
    assert reader.read(Batch(frames, np.arange(2)), 0) == 1
    assert reader.is_full
    assert reader.read(Batch(frames, np.arange(2)), 1) == 2


def test_a_book_of_every_price_there_is_is_taken() -> None:
    ladder = ",".join(f'["{pips / 10_000:.4f}","1.00"]' for pips in range(LEVELS_MOST))
    raw = b'{"type":"orderbook_snapshot","sid":7,"seq":42,"msg":{"market_ticker":"KXA-26-T1","%s_dollars_fp":[%s]}}'
    for side in (b"yes", b"no"):
        whole = raw % (side, ladder.encode())
        assert taken(whole, names_of(TICKERS)) == rows_by_codec(whole, names_of(TICKERS), use_yes_price=False)
        assert taken(raw % (side, (ladder + ',["1.0000","1.00"]').encode()), names_of(TICKERS)) is None


@given(st.lists(st.text(max_size=12), unique=True, max_size=300))
@settings(max_examples=20)
def test_every_name_keeps_its_index(tickers: list[str]) -> None:
    names = Names()
    assert [names.enter(ticker) for ticker in tickers] == list(range(len(tickers)))
    assert [names.enter(ticker) for ticker in tickers] == [names.find(ticker) for ticker in tickers]
    assert names.tickers == tickers and len(names) == len(tickers)
    assert names.find("no such ticker") == -1
    plain = [t for t in tickers if t.isascii() and t.isprintable() and not {'"', "\\"} & set(t)]
    for ticker in plain:
        names.want(names.find(ticker), BOOK_FRAMES)
        found: Any = taken(DELTA.replace(b"KXA-26-T1", ticker.encode()), names)
        assert found is not None and found[0][0] == names.find(ticker)


TICKER_FRAME = (
    b'{"type":"ticker","sid":9,"sending_ts_ms":1791000000120,"msg":{"market_ticker":"KXA-26-T1","price_dollars":"0.4800",'
    b'"dollar_volume":-16948,"yes_bid_size_fp":"300.00","x":0.5,"time":"2026-10-02T06:31:29.123Z","y":null,"z":true}}'
)


def is_passed_over(raw: bytes, *followed: Followed) -> bool:
    """Whether a frame is taken and makes no row."""
    reader = FastReader(names_of(TICKERS), use_yes_price=False)
    reader.follow(followed or [Followed(SID, SEQ, BOOK_FRAMES), Followed(9, 0, TICKER_FRAMES)])
    return reader.read(Batch([raw], np.array([5])), 0) == 1 and len(reader.rows) == 0


def test_tickers_are_passed_over_where_nobody_reads_them_whatever_keys_they_have() -> None:
    assert is_passed_over(TICKER_FRAME)
    assert is_passed_over(b' { "sid":9 , "type":"ticker" , "msg" : { } } ')
    assert not is_passed_over(TICKER_FRAME, Followed(SID, SEQ, BOOK_FRAMES))
    assert not is_passed_over(TICKER_FRAME, Followed(9, 0, TRADE_FRAMES)), "a ticker on a channel of trades"
    assert not is_passed_over(DELTA.replace(b'"sid":7', b'"sid":9')), "a delta on a channel of tickers"


@pytest.mark.parametrize(
    "body",
    [b'"a":tru', b'"a":nul', b'"a":01', b'"a":1.', b'"a":-', b'"a":1e5', b'"a":[1]', b'"a":{"b":1}', b'"a" 1',
     b'"a":1,', b'"a":"\n"', b'"a":"\xc3"', b"a:1", b'"a":1 "b":2', b'"a":', b'"a"', b",", b'"a":1}', b'"a":"b'],
)  # fmt: skip
def test_a_ticker_that_is_not_plain_json_is_the_codecs(body: bytes) -> None:
    whole = b'{"type":"ticker","sid":9,"msg":{%b}}'
    assert is_passed_over(whole % b'"a":-1.50,"b":"","c":false')
    assert not is_passed_over(whole % body)


@pytest.mark.parametrize("key", [b'"seq":1,', b'"id":1,', b'"sid":9,', b'"type":"ticker",', b'"new":1,'])
def test_a_ticker_with_another_envelope_is_the_codecs(key: bytes) -> None:
    assert not is_passed_over(TICKER_FRAME.replace(b'"msg"', key + b'"msg"'))


def test_every_cut_of_a_ticker_is_left_aside() -> None:
    assert not any(is_passed_over(TICKER_FRAME[:stop]) for stop in range(len(TICKER_FRAME)))


def test_rows_say_the_sid_that_they_are_told() -> None:
    reader = FastReader(names_of(TICKERS), use_yes_price=False)
    reader.follow([Followed(SID, SEQ, BOOK_FRAMES, told=115)])
    assert reader.read(Batch([DELTA], np.array([5])), 0) == 1
    assert reader.rows["sid"].tolist() == [115] and reader.followed() == [(SID, SEQ + 1)]
