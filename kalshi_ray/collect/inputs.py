"""The raw lines of a session: everything that a recorder was given, in the order in which it was given.

    {"recv_ns":N,"line":L,"frame":{"type":…}}             a frame exactly as received
    {"recv_ns":N,"line":L,"frame":"…"}                    one that is no JSON object or holds a line break, as text
    {"recv_ns":N,"line":L,"frame_b64":"…"}                one that is not even text
    {"recv_ns":N,"line":L,"note":"joined","markets":{…}}  what we did or were told ourselves, see the notes below

What a recorder makes of its inputs depends on nothing else, so that a session can be made anew from them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from kalshi_ray.collect.market_facts import Known, ListedMarket, MarketFacts
from kalshi_ray.errors import SessionDamaged
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.wire.messages import Ranges
from kalshi_ray.wire.trading import QueuePosition

_CODEC = pa.Codec("zstd", compression_level=1)
_OPEN, _CLOSE = ord("{"), ord("}")
_FIRST_PRINTABLE = 32
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


# -- notes


class Opened(msgspec.Struct, frozen=True, tag_field="note", tag="opened"):
    """A line begins, with a feed of these settings."""

    feed: FeedSettings


class Connected(msgspec.Struct, frozen=True, tag_field="note", tag="connected"):
    """A connection is there."""


class Heard(msgspec.Struct, frozen=True, tag_field="note", tag="heard"):
    """The other side answered a ping."""


class Tended(msgspec.Struct, frozen=True, tag_field="note", tag="tended"):
    """The feed was asked what is due, and something was: a command, or patience that ended."""


class Quiet(msgspec.Struct, frozen=True, tag_field="note", tag="quiet"):
    """The line goes on, and has nothing to say."""


class Lost(msgspec.Struct, frozen=True, tag_field="note", tag="lost"):
    """The connection is gone."""


class Finished(msgspec.Struct, frozen=True, tag_field="note", tag="finished"):
    """The line is over."""


class GivenUp(msgspec.Struct, frozen=True, tag_field="note", tag="given up"):
    """Whoever kept the line is gone: it is over, and its books are unknown from here on."""


class Interrupted(msgspec.Struct, frozen=True, tag_field="note", tag="interrupted"):
    """The collector was gone: all earlier lines are over, and every book is unknown from here on."""


class Joined(msgspec.Struct, frozen=True, tag_field="note", tag="joined"):
    """Markets join the line: ticker to number in the session."""

    markets: dict[str, int]


class Left(msgspec.Struct, frozen=True, tag_field="note", tag="left"):
    """Markets leave the line."""

    tickers: list[str]


class Entered(msgspec.Struct, frozen=True, tag_field="note", tag="entered"):
    """A market gets the next number of the session, or is told again of its fees."""

    market: MarketFacts


class Listed(msgspec.Struct, frozen=True, tag_field="note", tag="listed"):
    """REST said this of a market."""

    market: ListedMarket
    asked_ns: int = 0


class FeesListed(msgspec.Struct, frozen=True, tag_field="note", tag="fees listed"):
    """REST said this of an event; None where nothing overrides its series."""

    event: str
    fee_type: str | None = None
    multiplier_ppm: int | None = None


class Signalled(msgspec.Struct, frozen=True, tag_field="note", tag="signalled"):
    """An external value came; `ticker` is None where it concerns every market."""

    name: str
    value: float
    ticker: str | None = None


class Queued(msgspec.Struct, frozen=True, tag_field="note", tag="queued"):
    """REST said how many lots stand before own orders. No row comes of it."""

    positions: list[QueuePosition]


class Resumed(msgspec.Struct, frozen=True, tag_field="note", tag="resumed"):
    """A collector goes on with a session, and this is what it knows of it."""

    markets: list[Known]
    grids: list[Ranges]
    signals: list[str]


Note = (
    Opened
    | Connected
    | Heard
    | Tended
    | Quiet
    | Lost
    | Finished
    | GivenUp
    | Interrupted
    | Joined
    | Left
    | Entered
    | Listed
    | FeesListed
    | Signalled
    | Queued
    | Resumed
)


class Input(NamedTuple):
    """One raw line: a frame, or a note."""

    recv_ns: int
    line: int
    content: bytes | Note


class _RawLine(msgspec.Struct):
    recv_ns: int
    line: int
    frame: msgspec.Raw = msgspec.Raw(b"")
    frame_b64: str | None = None
    note: str | None = None


_raw_line = msgspec.json.Decoder(_RawLine)
_note = msgspec.json.Decoder(Note)


# -- writing


def note_line(note: Note, recv_ns: int, line: int) -> bytes:
    """A note as a raw line."""
    return b'{"recv_ns":%d,"line":%d,%b\n' % (recv_ns, line, msgspec.json.encode(note)[1:])


def frame_lines(
    frames: Sequence[bytes], times: Sequence[int], line: int, unproven: Collection[int] | None = None
) -> list[bytes]:
    """Frames as raw lines. `unproven`: which of them were not read as plain JSON objects yet; None: any of them."""
    odd = set(range(len(frames))) if unproven is None else set(unproven) | _unusual(frames)
    written = [b'{"recv_ns":%d,"line":%d,"frame":%b}\n' % (at, line, raw) for raw, at in zip(frames, times)]
    for number in odd:
        written[number] = _frame_line(frames[number], times[number], line)
    return written


def _unusual(frames: Sequence[bytes]) -> set[int]:
    """Frames that hold a control character, such as a line break, or do not begin and end with braces."""
    text = np.frombuffer(b"".join(frames), np.uint8)
    ends = np.cumsum([len(raw) for raw in frames])
    if len(text) == 0 or ends[0] == 0 or (np.diff(ends) == 0).any():
        return set(range(len(frames)))
    starts = np.concatenate([[0], ends[:-1]])
    wrong = (text[starts] != _OPEN) | (text[ends - 1] != _CLOSE)
    controls = np.flatnonzero(text < _FIRST_PRINTABLE)
    wrong[np.searchsorted(ends, controls, side="right")] = True
    return set(np.flatnonzero(wrong).tolist())


def _frame_line(raw: bytes, recv_ns: int, line: int) -> bytes:
    """One frame in the plainest form that it comes back from as it was."""
    head = b'{"recv_ns":%d,"line":%d,' % (recv_ns, line)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return head + b'"frame_b64":"%b"}\n' % base64.b64encode(raw)
    if _is_object(raw):
        return head + b'"frame":%b}\n' % raw
    return head + b'"frame":%b}\n' % msgspec.json.encode(text)


def _is_object(raw: bytes) -> bool:
    """Whether a frame can stand in a line as it is."""
    if not raw.startswith(b"{") or not raw.endswith(b"}") or min(raw) < _FIRST_PRINTABLE:
        return False
    try:
        _object.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def pack(lines: Iterable[bytes]) -> bytes:
    """Raw lines as one zstd frame; such frames may stand one behind the other."""
    packed: bytes = _CODEC.compress(b"".join(lines), asbytes=True)
    return packed


# -- reading


def read_inputs(content: bytes, where: str) -> Iterator[Input]:
    """The inputs in zstd frames of raw lines. SessionDamaged names `where` and the line."""
    stream = io.BufferedReader(pa.CompressedInputStream(pa.BufferReader(content), "zstd"))
    try:
        for number, text in enumerate(stream, start=1):
            try:
                yield read_line(text)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise SessionDamaged(
                    f"{where}, line {number}: {error}: {text[:80]!r}",
                    remedy="Expected a raw line of a collector: recv_ns, line, and frame, frame_b64 or note",
                ) from error
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SessionDamaged(f"{where}: {error}", remedy="Restore it from a copy") from error


def read_line(text: bytes) -> Input:
    """One raw line. MsgspecError or ValueError where it is none."""
    found = _raw_line.decode(text)
    if found.note is not None:
        return Input(found.recv_ns, found.line, _note.decode(text))
    if found.frame_b64 is not None:
        return Input(found.recv_ns, found.line, base64.b64decode(found.frame_b64, validate=True))
    raw = bytes(found.frame)
    if not raw:
        raise ValueError("neither a frame nor a note")
    return Input(found.recv_ns, found.line, msgspec.json.decode(raw, type=str).encode() if raw[:1] == b'"' else raw)
