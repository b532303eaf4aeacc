"""The kernels of the fast path: a strict scanner for the frames that make up nearly all of a stream.

It knows `orderbook_delta`, `orderbook_snapshot` and `trade` in today's form, their keys in any order. Whatever else
stands in a frame (another key, an escape, a number where text is usual, a value out of range, a key twice) makes it
step aside: the frame is then the codec's, which reads everything. What it does take it reads as the codec does.

A scanning kernel returns the position behind what it read, or ASIDE.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.units import DOLLAR

ASIDE = -1
LEVELS_MOST = DOLLAR + 1  # levels of one side
_PACKED = 7  # characters in one integer: exact, and far from its sign
_INTEGER_DIGITS = 15  # more might not fit
_FIXED_SIGNS = 13

QUOTE, BACKSLASH, COMMA, COLON, MINUS, DOT, ZERO, NINE = (ord(sign) for sign in '"\\,:-.09')
OPEN, CLOSE, FIRST, LAST = (ord(sign) for sign in "{}[]")

# What a value looks like.
WORD, INTEGER, TEXT, PRICED, COUNTED, LADDER, FLAG, NAME, TIME, BODY = range(10)

_KEYS = {
    "type": WORD,
    "sid": INTEGER,
    "seq": INTEGER,
    "sending_ts_ms": INTEGER,
    "id": INTEGER,
    "msg": BODY,
    # Inside "msg".
    "market_ticker": NAME,
    "market_id": TEXT,
    "ts": TIME,
    "ts_ms": INTEGER,
    "side": WORD,
    "price_dollars": PRICED,
    "delta_fp": COUNTED,
    "trade_id": TEXT,
    "yes_price_dollars": PRICED,
    "no_price_dollars": PRICED,
    "count_fp": COUNTED,
    "taker_book_side": WORD,
    "taker_outcome_side": WORD,
    "taker_side": WORD,
    "is_block_trade": FLAG,
    "yes_dollars_fp": LADDER,
    "no_dollars_fp": LADDER,
}
(
    TYPE, SID, SEQ, SENDING, ID, MSG, TICKER, MARKET_ID, TS, TS_MS, SIDE, PRICE, DELTA, TRADE_ID, YES_PRICE, NO_PRICE,
    COUNT, BOOK_SIDE, OUTCOME_SIDE, TAKER_SIDE, BLOCK_TRADE, YES_LADDER, NO_LADDER,
) = range(len(_KEYS))  # fmt: skip
INSIDE = TICKER  # the first key inside "msg"

_WORDS = ("", "yes", "no", "bid", "ask", "orderbook_delta", "orderbook_snapshot", "trade", "ticker")
EMPTY, YES, NO, BID_WORD, ASK_WORD, DELTA_FRAME, SNAPSHOT_FRAME, TRADE_FRAME, TICKER_FRAME = range(len(_WORDS))


def _packed(word: str) -> list[int]:
    """A word of at most 21 characters as three integers."""
    return [int.from_bytes(word[at : at + _PACKED].encode(), "big") for at in range(0, 3 * _PACKED, _PACKED)]


_KEY_TABLE = np.array([_packed(key) for key in _KEYS], np.int64)  # [keys, 3]
_WORD_TABLE = np.array([_packed(word) for word in _WORDS], np.int64)  # [words, 3]
FORMS = np.array(list(_KEYS.values()), np.int64)

_FLAGS = np.array([list(b"false"), list(b"true ")], np.uint8)

FRAME = np.dtype(
    [
        ("packed", np.int64, 3),  # the word read last
        ("number", np.int64),  # the number, code or market read last
        ("seen", np.int64),  # bits of the keys that came
        ("values", np.int64, len(_KEYS)),
        ("counts", np.int64, 2),  # levels by side
        ("after", np.int64, len(_KEYS) + 1),  # which key came after which last time
        ("rows", np.int64),  # written so far
    ],
    align=True,
)


@kernel
def behind_blanks(text, at, stop):
    """The next position that holds no JSON whitespace."""
    while at < stop and (text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9):
        at += 1
    return at


@kernel
def read_word(text, at, stop, frame):
    """A string of at most 21 plain characters, packed."""
    if at >= stop or text[at] != QUOTE:
        return ASIDE
    at += 1
    start, packed, part = at, 0, 0
    frame.packed[1] = 0
    frame.packed[2] = 0
    while at < stop:
        sign = int(text[at])
        if sign == QUOTE:
            frame.packed[part] = packed
            return at + 1
        if sign < 32 or sign > 126 or sign == BACKSLASH or at - start >= 3 * _PACKED:
            return ASIDE
        if at - start == (part + 1) * _PACKED:
            frame.packed[part] = packed
            part += 1
            packed = 0
        packed = packed * 256 + sign
        at += 1
    return ASIDE


@kernel
def _is_word(frame, table, code):
    """Whether the word read last is row `code` of a table."""
    return frame.packed[0] == table[code, 0] and frame.packed[1] == table[code, 1] and frame.packed[2] == table[code, 2]


@kernel
def key_code(frame, last):
    """Which key was read; ASIDE for an unknown one. Frames of a kind have their keys in one order: guess it."""
    guess = int(frame.after[last + 1])
    if _is_word(frame, _KEY_TABLE, guess):
        return guess
    for code in range(len(_KEY_TABLE)):
        if _is_word(frame, _KEY_TABLE, code):
            frame.after[last + 1] = code
            return code
    return ASIDE


@kernel
def read_code(text, at, stop, frame):
    """One of the known words."""
    at = read_word(text, at, stop, frame)
    if at == ASIDE:
        return ASIDE
    for code in range(len(_WORD_TABLE)):
        if _is_word(frame, _WORD_TABLE, code):
            frame.number = code
            return at
    return ASIDE


@kernel
def skip_text(text, at, stop):
    """A string of plain characters that says nothing we use."""
    if at >= stop or text[at] != QUOTE:
        return ASIDE
    at += 1
    while at < stop:
        sign = int(text[at])
        if sign == QUOTE:
            return at + 1
        if sign < 32 or sign > 126 or sign == BACKSLASH:
            return ASIDE
        at += 1
    return ASIDE


@kernel
def read_integer(text, at, stop, frame):
    """A JSON integer that is not negative. What ends it is the caller's to judge."""
    start, number = at, 0
    while at < stop and ZERO <= text[at] <= NINE:
        number = number * 10 + (int(text[at]) - ZERO)
        at += 1
    if at == start or at - start > _INTEGER_DIGITS or (text[start] == ZERO and at - start > 1):
        return ASIDE
    frame.number = number
    return at


@kernel
def read_fixed(text, at, stop, digits, frame):
    """Text such as "-12.50" times ten to the power of `digits`; the decimals must not be more."""
    if at >= stop or text[at] != QUOTE:
        return ASIDE
    at += 1
    is_negative = at < stop and text[at] == MINUS
    if is_negative:
        at += 1
    start, number, decimals = at, 0, -1  # decimals: -1 before the point
    while at < stop and text[at] != QUOTE:
        sign = int(text[at])
        if ZERO <= sign <= NINE:
            number = number * 10 + (sign - ZERO)
            decimals += decimals >= 0
        elif sign == DOT and decimals < 0 and at > start:
            decimals = 0
        else:
            return ASIDE
        at += 1
        if at - start > _FIXED_SIGNS:
            return ASIDE
    if at >= stop or at == start or decimals == 0 or decimals > digits:
        return ASIDE
    for _ in range(digits - max(decimals, 0)):
        number *= 10
    frame.number = -number if is_negative else number
    return at + 1


@kernel
def read_price(text, at, stop, frame):
    """A price in pips, 0 to one dollar."""
    at = read_fixed(text, at, stop, 4, frame)
    return at if at != ASIDE and 0 <= frame.number <= DOLLAR else ASIDE


@kernel
def _read_level(text, at, stop, frame, level):
    """["0.4600","12.50"] into `level`: price and size, which is not negative."""
    if at >= stop or text[at] != FIRST:
        return ASIDE
    at = read_price(text, behind_blanks(text, at + 1, stop), stop, frame)
    if at == ASIDE:
        return ASIDE
    level[0] = frame.number
    at = behind_blanks(text, at, stop)
    if at >= stop or text[at] != COMMA:
        return ASIDE
    at = read_fixed(text, behind_blanks(text, at + 1, stop), stop, 2, frame)
    if at == ASIDE or frame.number < 0:
        return ASIDE
    level[1] = frame.number
    at = behind_blanks(text, at, stop)
    return at + 1 if at < stop and text[at] == LAST else ASIDE


@kernel
def read_ladder(text, at, stop, frame, ladder, side):
    """A list of levels into `ladder`, [levels, 2]; their number into `counts`."""
    frame.counts[side] = 0
    if at >= stop or text[at] != FIRST:
        return ASIDE
    at = behind_blanks(text, at + 1, stop)
    if at < stop and text[at] == LAST:
        return at + 1
    for count in range(LEVELS_MOST):
        at = _read_level(text, at, stop, frame, ladder[count])
        if at == ASIDE:
            return ASIDE
        at = behind_blanks(text, at, stop)
        if at >= stop:
            return ASIDE
        if text[at] == LAST:
            frame.counts[side] = count + 1
            return at + 1
        if text[at] != COMMA:
            return ASIDE
        at = behind_blanks(text, at + 1, stop)
    return ASIDE


@kernel
def read_flag(text, at, stop, frame):
    """True or false."""
    code = int(at < stop and text[at] == _FLAGS[1, 0])
    length = 5 - code
    if at + length > stop:
        return ASIDE
    for offset in range(length):
        if text[at + offset] != _FLAGS[code, offset]:
            return ASIDE
    frame.number = code
    return at + length


@kernel
def hashed(hash, sign):
    """A hash with one more character: FNV-1a of 32 bits."""
    return ((hash ^ sign) * 16777619) & 0xFFFFFFFF


HASH_START = 2166136261


@kernel
def find_name(text, start, stop, hash, names, starts, slots):
    """The index of the name that stands in `text[start:stop]`; ASIDE if there is none.

    `slots` is a hash table of indexes, -1 where empty, never full; its length is a power of two. Name i is
    `names[starts[i]:starts[i + 1]]`.
    """
    slot = hash & (len(slots) - 1)
    while slots[slot] >= 0:
        index = int(slots[slot])
        begin = int(starts[index])
        if starts[index + 1] - begin == stop - start:
            offset = 0
            while offset < stop - start and names[begin + offset] == text[start + offset]:
                offset += 1
            if offset == stop - start:
                return index
        slot = (slot + 1) & (len(slots) - 1)
    return ASIDE


@kernel
def place_names(first, count, names, starts, slots):
    """Enter the names `first` to `count` - 1 into the hash table, which has room for them."""
    for index in range(first, count):
        hash = HASH_START
        for at in range(starts[index], starts[index + 1]):
            hash = hashed(hash, int(names[at]))
        slot = hash & (len(slots) - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = index


@kernel
def read_ticker(text, at, stop, frame, names, starts, slots):
    """The market of a ticker that is known."""
    if at >= stop or text[at] != QUOTE:
        return ASIDE
    at += 1
    start, hash = at, HASH_START
    while at < stop and text[at] != QUOTE:
        sign = int(text[at])
        if sign < 32 or sign > 126 or sign == BACKSLASH:
            return ASIDE
        hash = hashed(hash, sign)
        at += 1
    if at >= stop:
        return ASIDE
    frame.number = find_name(text, start, at, hash, names, starts, slots)
    return ASIDE if frame.number == ASIDE else at + 1
