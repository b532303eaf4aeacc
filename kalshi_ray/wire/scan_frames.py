"""Whole frames to rows: keys by table, sequence by subscription, one call for many frames."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR, MILLISECOND, SECOND, Side
from kalshi_ray.wire import scan
from kalshi_ray.wire.scan import (
    ASIDE,
    behind_blanks,
    key_code,
    read_code,
    read_fixed,
    read_flag,
    read_integer,
    read_ladder,
    read_price,
    read_ticker,
    read_word,
    skip_text,
)
from kalshi_ray.wire.scan_plain import skip_plain

# Bits: what a subscription carries, and the first two: what is wanted of a market.
BOOK_FRAMES, TRADE_FRAMES, TICKER_FRAMES = 1, 2, 4
SUBSCRIPTION = np.dtype([("sid", np.int64), ("last", np.int64), ("carries", np.int64), ("told", np.int64)], align=True)
ROWS_MOST = 2 * scan.LEVELS_MOST + 1  # of one frame

_TS_MOST = 9_000_000_000  # seconds whose nanoseconds fit
BID, ASK, NONE = int(Side.BID), int(Side.ASK), int(Side.NONE)
LEVEL, END, DELTA, TRADE = int(Kind.SNAPSHOT_LEVEL), int(Kind.SNAPSHOT_END), int(Kind.DELTA), int(Kind.TRADE)
TEXT_TIME = -1


def _bits(*codes: int) -> int:
    return sum(1 << code for code in codes)


_ENVELOPE = _bits(scan.TYPE, scan.SID, scan.SEQ, scan.MSG, scan.TICKER)
_MAY = _ENVELOPE | _bits(scan.SENDING, scan.ID, scan.TS, scan.TS_MS)
_DELTA_NEEDS = _ENVELOPE | _bits(scan.SIDE, scan.PRICE, scan.DELTA)
_DELTA_MAY = _MAY | _DELTA_NEEDS | _bits(scan.MARKET_ID)
_SNAPSHOT_MAY = _MAY | _bits(scan.MARKET_ID, scan.YES_LADDER, scan.NO_LADDER)
_TICKER_NEEDS = _bits(scan.TYPE, scan.SID, scan.MSG)
_TICKER_MAY = _TICKER_NEEDS | _bits(scan.SENDING)
_TRADE_NEEDS = _ENVELOPE | _bits(scan.COUNT)
_TRADE_MAY = (
    _MAY
    | _TRADE_NEEDS
    | _bits(
        scan.TRADE_ID,
        scan.YES_PRICE,
        scan.NO_PRICE,
        scan.BOOK_SIDE,
        scan.OUTCOME_SIDE,
        scan.TAKER_SIDE,
        scan.BLOCK_TRADE,
    )
)


@kernel
def _has(frame, code):
    return (frame.seen >> code) & 1


@kernel
def _read_value(text, at, stop, code, frame, names, starts, slots, ladders):
    """The value of a key into `values`."""
    form = int(scan.FORMS[code])
    frame.number = 0
    if form == scan.WORD:
        at = read_code(text, at, stop, frame)
    elif form == scan.INTEGER:
        at = read_integer(text, at, stop, frame)
    elif form == scan.TEXT:
        at = skip_text(text, at, stop)
    elif form == scan.PRICED:
        at = read_price(text, at, stop, frame)
    elif form == scan.COUNTED:
        at = read_fixed(text, at, stop, 2, frame)
    elif form == scan.LADDER:
        side = int(code == scan.NO_LADDER)
        at = read_ladder(text, at, stop, frame, ladders[side], side)
    elif form == scan.FLAG:
        at = read_flag(text, at, stop, frame)
    elif form == scan.NAME:
        at = read_ticker(text, at, stop, frame, names, starts, slots)
    elif at < stop and text[at] == scan.QUOTE:
        at = skip_text(text, at, stop)
        frame.number = TEXT_TIME
    else:
        at = read_integer(text, at, stop, frame)
    frame.values[code] = frame.number
    return at


@kernel
def _read_key(text, at, stop, last, is_inside, frame):
    """A key that belongs here and did not come before, and its colon; its code into `number`."""
    at = read_word(text, at, stop, frame)
    if at == ASIDE:
        return ASIDE
    code = key_code(frame, last)
    if code == ASIDE or (code >= scan.INSIDE) != is_inside or (frame.seen >> code) & 1:
        return ASIDE
    frame.seen |= 1 << code
    at = behind_blanks(text, at, stop)
    if at >= stop or text[at] != scan.COLON:
        return ASIDE
    frame.number = code
    return behind_blanks(text, at + 1, stop)


@kernel
def _behind_comma(text, at, stop):
    """Where the next key of an object starts; 0 where the object ends at `at`."""
    if at >= stop:
        return ASIDE
    if text[at] == scan.CLOSE:
        return 0
    return behind_blanks(text, at + 1, stop) if text[at] == scan.COMMA else ASIDE


@kernel
def _read_body(text, at, stop, frame, names, starts, slots, ladders):
    """The object under "msg"."""
    if at >= stop or text[at] != scan.OPEN:
        return ASIDE
    code = scan.MSG
    at = behind_blanks(text, at + 1, stop)
    while True:
        at = _read_key(text, at, stop, code, True, frame)
        if at == ASIDE:
            return ASIDE
        code = int(frame.number)
        at = _read_value(text, at, stop, code, frame, names, starts, slots, ladders)
        if at == ASIDE:
            return ASIDE
        at = behind_blanks(text, at, stop)
        following = _behind_comma(text, at, stop)
        if following <= 0:
            return ASIDE if following == ASIDE else at + 1
        at = following


@kernel
def _is_ticker(frame):
    """Whether the type was read, and is that of a frame which only says what the books and prints say."""
    return _has(frame, scan.TYPE) and frame.values[scan.TYPE] == scan.TICKER_FRAME


@kernel
def _read_frame(text, at, stop, frame, names, starts, slots, ladders):
    """Everything between `at` and `stop`: one object and blanks."""
    frame.seen = 0
    frame.counts[0] = 0
    frame.counts[1] = 0
    code = ASIDE
    at = behind_blanks(text, at, stop)
    if at >= stop or text[at] != scan.OPEN:
        return ASIDE
    at = behind_blanks(text, at + 1, stop)
    while True:
        at = _read_key(text, at, stop, code, False, frame)
        if at == ASIDE:
            return ASIDE
        code = int(frame.number)
        if code == scan.MSG and _is_ticker(frame):
            at = skip_plain(text, at, stop, frame)
        elif code == scan.MSG:
            at = _read_body(text, at, stop, frame, names, starts, slots, ladders)
        else:
            at = _read_value(text, at, stop, code, frame, names, starts, slots, ladders)
        if at == ASIDE:
            return ASIDE
        at = behind_blanks(text, at, stop)
        following = _behind_comma(text, at, stop)
        if following == ASIDE:
            return ASIDE
        if following == 0:
            return at if behind_blanks(text, at + 1, stop) == stop else ASIDE
        at = following


@kernel
def _exchange_time(frame):
    """Nanoseconds, as the codec takes them: milliseconds where sent, else seconds, 0 where none; or ASIDE."""
    if _has(frame, scan.TS_MS) and frame.values[scan.TS_MS] > 0:
        time = frame.values[scan.TS_MS]
        return time * MILLISECOND if time <= _TS_MOST * 1000 else ASIDE
    if not _has(frame, scan.TS):
        return 0
    time = frame.values[scan.TS]
    return time * SECOND if 0 <= time <= _TS_MOST else ASIDE


@kernel
def _is_monotone(ladder, count):
    """Whether prices rise or fall throughout, so that the best is at one end."""
    for at in range(1, count):
        step = ladder[at, 0] - ladder[at - 1, 0]
        if step == 0 or (step > 0) != (ladder[1, 0] > ladder[0, 0]):
            return False
    return True


@kernel
def _write_row(rows, frame, recv_ns, exch_ns, kind, side, price, size, taker, flags):
    row = rows[frame.rows]
    row.market = frame.values[scan.TICKER]
    row.recv_ns = recv_ns
    row.exch_ns = exch_ns
    row.sid = frame.values[scan.SID]
    row.seq = frame.values[scan.SEQ]
    row.kind = kind
    row.side = side
    row.price = price
    row.size = size
    row.taker = taker
    row.flags = flags
    frame.rows += 1


@kernel
def _write_delta(rows, frame, recv_ns, exch_ns, use_yes_price):
    word, price = int(frame.values[scan.SIDE]), int(frame.values[scan.PRICE])
    if word != scan.YES and word != scan.NO:
        return False
    side = BID if word == scan.YES else ASK
    if side == ASK and not use_yes_price:
        price = DOLLAR - price
    _write_row(rows, frame, recv_ns, exch_ns, DELTA, side, price, int(frame.values[scan.DELTA]), NONE, 0)
    return True


@kernel
def _write_snapshot(rows, frame, recv_ns, exch_ns, use_yes_price, ladders):
    """Levels best first, bids before asks, and the end. Levels of size 0 are no levels."""
    for side in range(2):
        if not _is_monotone(ladders[side], int(frame.counts[side])):
            return False
    for side in range(2):
        count = int(frame.counts[side])
        falls = count > 1 and ladders[side, 0, 0] > ladders[side, 1, 0]
        # Bids are best where prices are highest, and so are asks while they stand in prices of NO.
        from_start = falls if side == BID or not use_yes_price else not falls
        for nth in range(count):
            at = nth if from_start else count - 1 - nth
            price, size = int(ladders[side, at, 0]), int(ladders[side, at, 1])
            if side == ASK and not use_yes_price:
                price = DOLLAR - price
            if size > 0:
                _write_row(rows, frame, recv_ns, exch_ns, LEVEL, side, price, size, NONE, 0)
    _write_row(rows, frame, recv_ns, exch_ns, END, NONE, 0, 0, NONE, 0)
    return True


@kernel
def _taker(frame):
    """The side the taker traded for, said in up to three ways; -2 for a word that is none of a side."""
    for code in (scan.BOOK_SIDE, scan.OUTCOME_SIDE, scan.TAKER_SIDE):
        if _has(frame, code) and frame.values[code] != scan.EMPTY:
            word = frame.values[code]
            if word == scan.BID_WORD or word == scan.YES:
                return BID
            return ASK if word == scan.ASK_WORD or word == scan.NO else -2
    return NONE


@kernel
def _write_trade(rows, frame, recv_ns, exch_ns):
    taker = _taker(frame)
    if taker == -2 or not (_has(frame, scan.YES_PRICE) or _has(frame, scan.NO_PRICE)):
        return False
    if _has(frame, scan.YES_PRICE):
        price = int(frame.values[scan.YES_PRICE])
    else:
        price = DOLLAR - int(frame.values[scan.NO_PRICE])
    is_block = int(_has(frame, scan.BLOCK_TRADE) and frame.values[scan.BLOCK_TRADE] == 1)
    _write_row(rows, frame, recv_ns, exch_ns, TRADE, NONE, price, int(frame.values[scan.COUNT]), taker, is_block)
    return True


@kernel
def _write(rows, frame, recv_ns, use_yes_price, ladders):
    """The rows of a frame that was read. False where it lacks a key or has one of another type."""
    kind, exch_ns, seen = int(frame.values[scan.TYPE]), _exchange_time(frame), int(frame.seen)
    if exch_ns == ASIDE:
        return False
    if kind == scan.DELTA_FRAME:
        fits = seen & _DELTA_NEEDS == _DELTA_NEEDS and seen | _DELTA_MAY == _DELTA_MAY
        return fits and _write_delta(rows, frame, recv_ns, exch_ns, use_yes_price)
    if kind == scan.SNAPSHOT_FRAME:
        fits = seen & _ENVELOPE == _ENVELOPE and seen | _SNAPSHOT_MAY == _SNAPSHOT_MAY
        return fits and _write_snapshot(rows, frame, recv_ns, exch_ns, use_yes_price, ladders)
    fits = seen & _TRADE_NEEDS == _TRADE_NEEDS and seen | _TRADE_MAY == _TRADE_MAY
    return kind == scan.TRADE_FRAME and fits and _write_trade(rows, frame, recv_ns, exch_ns)


@kernel
def _subscription_of(frame, subscriptions, wanted):
    """The subscription whose next frame this is, if it carries such frames and the market is wanted; or ASIDE."""
    needs = TRADE_FRAMES if frame.values[scan.TYPE] == scan.TRADE_FRAME else BOOK_FRAMES
    if not wanted[int(frame.values[scan.TICKER])] & needs:
        return ASIDE
    for at in range(len(subscriptions)):
        one = subscriptions[at]
        if one.sid == frame.values[scan.SID]:
            return at if one.carries == needs and one.last + 1 == frame.values[scan.SEQ] else ASIDE
    return ASIDE


@kernel
def _is_passed_over(frame, subscriptions):
    """Whether a frame without rows belongs to a subscription that nobody reads."""
    if frame.seen & _TICKER_NEEDS != _TICKER_NEEDS or frame.seen | _TICKER_MAY != _TICKER_MAY:
        return False
    for at in range(len(subscriptions)):
        if subscriptions[at].sid == frame.values[scan.SID]:
            return subscriptions[at].carries == TICKER_FRAMES
    return False


@kernel
def scan_frames(
    text, ends, times, first, use_yes_price, subscriptions, wanted, names, starts, slots, ladders, frame, rows
):
    """Rows of the frames from `first` on; return the first that must step aside or finds no room, or their number.

    Frame i is `text[ends[i]:ends[i + 1]]`, received at `times[i]`. `subscriptions` are SUBSCRIPTION records, whose
    `last` moves on and whose rows are of sid `told`; `wanted` has the bits of each market.
    """
    for at in range(first, len(ends) - 1):
        if len(rows) - frame.rows < ROWS_MOST:
            return at
        end = _read_frame(text, int(ends[at]), int(ends[at + 1]), frame, names, starts, slots, ladders)
        if end == ASIDE:
            return at
        if _is_ticker(frame):
            if not _is_passed_over(frame, subscriptions):
                return at
            continue
        if frame.seen & _ENVELOPE != _ENVELOPE:
            return at
        subscription = _subscription_of(frame, subscriptions, wanted)
        if subscription == ASIDE:
            return at
        frame.values[scan.SID] = subscriptions[subscription].told
        if not _write(rows, frame, int(times[at]), use_yes_price, ladders):
            return at
        subscriptions[subscription].last += 1
    return len(ends) - 1
