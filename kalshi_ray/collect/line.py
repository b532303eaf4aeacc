"""One line of a session: a feed whose every input is kept raw, and whose rows come out in blocks.

A line has no clock and no socket: the times it is given are those of `collect.clock`. It lives beside a connection as
`exchange.client.stream.Converses` says; whatever becomes of its frames, it is a function of the inputs alone, which
its raw lines hold in the order in which the feed saw them. That is why frames are judged before anything else happens.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect import inputs
from kalshi_ray.collect.block import MOST_LINES, SIDS, Block
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import UsageError
from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_events import Broken, Dead, FeedEvent, Missed, Missing, Stale
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.wire.commands import Channel, Code
from kalshi_ray.wire.messages import Unknown
from kalshi_ray.wire.rows import ROW
from kalshi_ray.wire.shapes import shown

FRAMES_MOST = 512  # that wait to be judged together
BYTES_MOST = 4 << 20  # of them
QUIET_NS = 10 * SECOND  # a line that has nothing to say says so as often
HAPPENINGS_MOST = 1_000  # that nobody took
FUTURE_NS = 30 * 60 * SECOND  # how far the exchange's clock may be ahead of ours

# Numbers of channels within the sids of a line.
CHANNELS = {
    Channel.BOOK: 1,
    Channel.TRADE: 2,
    Channel.TICKER: 3,
    Channel.LIFECYCLE: 4,
    Channel.COMBO_LIFECYCLE: 5,
}


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is worth telling: `what` is the name of a feed event, Unknown for a frame of no known type, or
    Lost for a connection."""

    line: int
    at_ns: int
    what: str
    text: str
    tickers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


def sid_of(line: int, channel: Channel) -> int:
    """What rows of a session say of a line's subscription."""
    return line * SIDS + CHANNELS[channel]


class Line:
    """What lines have in common; `_read` is left to each kind."""

    def __init__(self, number: int, settings: FeedSettings, *, raw: bool, block_ns: int) -> None:
        if not 0 <= number < MOST_LINES:
            raise UsageError(f"a line has a number from 0 to {MOST_LINES - 1:,}, got {number}")
        if unfit := [channel.value for channel in settings.channels if channel not in CHANNELS]:
            raise UsageError(f"a session does not record {', '.join(unfit)}")
        self.number = number
        self._feed = Feed(settings, sids={channel: sid_of(number, channel) for channel in settings.channels})
        self._keeps_raw, self._block_ns = raw, block_ns
        self._frames: list[bytes] = []  # received and not judged yet
        self._times: list[int] = []
        self._bytes = 0
        self._rows: list[NDArray[Any]] = []  # judged and not in a block yet
        self._raw: list[bytes] = []
        self._judged = 0  # frames of them
        self._blocks: list[Block] = []  # that nobody took
        self._since_ns = 0  # when the last block was made
        self._noted_ns = 0  # the last raw line
        self._now_ns = 0
        self._is_opened = self._is_over = False
        self._happenings: deque[Happening] = deque(maxlen=HAPPENINGS_MOST)
        self._counts: Counter[str] = Counter()

    # -- as a connection sees it

    @property
    def is_online(self) -> bool:
        """Whether the feed counts the connection as there."""
        return self._feed.is_online

    def connect(self, now_ns: int) -> Sequence[bytes]:
        """A connection is there: what to send first."""
        now_ns = self._turn(now_ns, inputs.Connected())
        commands = self._feed.connect(now_ns)
        self._gather(self._feed.take_events())
        return commands

    def heard(self, now_ns: int) -> None:
        """The other side answered a ping."""
        self._feed.heard(self._turn(now_ns, inputs.Heard()))

    def receive(self, raw: bytes, now_ns: int) -> Sequence[Block]:
        """A frame came. It is judged with others, soon: at the latest with the next `due`."""
        self._frames.append(raw)
        self._times.append(now_ns)
        self._bytes += len(raw)
        is_time = now_ns - self._since_ns >= self._block_ns
        if is_time or len(self._frames) >= FRAMES_MOST or self._bytes >= BYTES_MOST:
            self._judge()
            return self._take(now_ns)
        return ()

    def due(self, now_ns: int) -> Sequence[bytes]:
        """What to send now. Also without a connection this has to be called, and `take_events`: time passes."""
        self._judge()
        now_ns, acts = max(now_ns, self._now_ns), self._feed.acts
        commands = self._feed.due(now_ns)
        if self._feed.acts != acts:
            self._note(inputs.Tended(), now_ns)
        elif self._is_opened and now_ns - self._noted_ns >= QUIET_NS:
            self._note(inputs.Quiet(), now_ns)
        self._now_ns = now_ns
        self._gather(self._feed.take_events())
        if now_ns - self._since_ns >= self._block_ns:
            self._blocks.append(self._block(now_ns))
        return commands

    def take_events(self) -> list[Block]:
        """The blocks that `due` made."""
        blocks, self._blocks = self._blocks, []
        return blocks

    def lost(self, now_ns: int) -> list[Block]:
        """The connection is gone: the last blocks of it."""
        was_online = self.is_online
        now_ns = self._turn(now_ns, inputs.Lost())
        if was_online:
            self._happen("Lost", "the connection was lost, and is dialled again")
        self._gather(self._feed.lost(now_ns))
        return self._take(now_ns)

    # -- as its keeper sees it

    def flush(self, now_ns: int) -> list[Block]:
        """All that came so far, in blocks."""
        self._judge()
        return self._take(now_ns)

    def finish(self, now_ns: int) -> list[Block]:
        """The line is over, and the session with it: its last blocks. Once more, and there is nothing.

        No gap follows: nothing comes after the end that one could know.
        """
        if self._is_over:
            return []
        now_ns = self._turn(now_ns, inputs.Finished())
        self._feed.lost(now_ns)
        self._feed.rows.clear()
        self._is_over = True
        return self._take(now_ns)

    def take_happenings(self) -> list[Happening]:
        """What is worth telling since the last time; the earliest of very many are left out, `counts` counts all."""
        happened = list(self._happenings)
        self._happenings.clear()
        return happened

    @property
    def counts(self) -> Counter[str]:
        """How often what came and what was ignored, by name; totals since the line began."""
        codec = self._feed.codec
        found = self._counts + self._feed.counts
        found.update({f"unknown type {name}": count for name, count in codec.unknown_types.items()})
        found.update({f"unknown key {name}": count for name, count in codec.unknown_keys.items()})
        found.update({f"unknown word {name}": count for name, count in codec.unknown_words.items()})
        return found

    # -- inside

    def _read(self, frames: Sequence[bytes], times: NDArray[np.int64]) -> Collection[int] | None:
        """Let the feed judge frames, and gather what that brings.

        Return which of them were not read as plain JSON objects; None where any may be.
        """
        raise NotImplementedError

    def _judge(self) -> None:
        """All frames that wait."""
        if not self._frames:
            return
        frames, times = self._frames, np.array(self._times, np.int64)
        self._frames, self._times, self._bytes = [], [], 0
        times = self._in_order(times)
        self._open(int(times[0]))
        self._now_ns = self._noted_ns = int(times[-1])
        unproven = self._read(frames, times)
        if self._keeps_raw:
            self._raw += inputs.frame_lines(frames, times.tolist(), self.number, unproven)
        self._judged += len(frames)
        self._counts["frames"] += len(frames)

    def _in_order(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Times that never fall, whoever gave them."""
        if times[0] >= self._now_ns and (np.diff(times) >= 0).all():
            return times
        self._counts["times that fell"] += 1
        raised: NDArray[np.int64] = np.maximum.accumulate(np.maximum(times, self._now_ns))
        return raised

    def _turn(self, now_ns: int, note: inputs.Note) -> int:
        """Something else than a frame: what waits is judged first. Its time, which never falls."""
        self._judge()
        if now_ns < self._now_ns:
            self._counts["times that fell"] += 1
        self._now_ns = max(now_ns, self._now_ns)
        self._note(note, self._now_ns)
        return self._now_ns

    def _open(self, now_ns: int) -> None:
        if not self._is_opened:
            self._is_opened = True
            self._note(inputs.Opened(feed=self._feed.settings), now_ns)

    def _note(self, note: inputs.Note, now_ns: int) -> None:
        self._open(now_ns)
        self._noted_ns = now_ns
        if self._keeps_raw:
            self._raw.append(inputs.note_line(note, now_ns, self.number))

    def _append(self, rows: NDArray[Any]) -> None:
        """Rows for the next block. An exchange time that cannot be is unknown: no tape could hold it."""
        if len(rows):
            late = rows["exch_ns"] - rows["recv_ns"] > FUTURE_NS
            if late.any():
                self._counts["exchange times that cannot be"] += int(late.sum())
                rows["exch_ns"][late] = 0
            self._rows.append(rows)

    def _gather(self, events: Iterable[FeedEvent]) -> None:
        """What the feed said, as far as rows do not."""
        for event in events:
            text, tickers = _told(event)
            if text:
                self._happen(type(event).__name__, text, tickers)

    def _happen(self, what: str, text: str, tickers: tuple[str, ...] = ()) -> None:
        self._counts[what.lower()] += 1
        self._happenings.append(Happening(line=self.number, at_ns=self._now_ns, what=what, text=text, tickers=tickers))

    def _take(self, now_ns: int) -> list[Block]:
        self._blocks.append(self._block(now_ns))
        return self.take_events()

    def _block(self, now_ns: int) -> Block:
        """Everything judged since the last block."""
        self._now_ns = self._since_ns = max(now_ns, self._now_ns)
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, ROW)
        raw, frames = self._raw, self._judged
        self._rows, self._raw, self._judged = [], [], 0
        self._counts["rows"] += len(rows)
        return Block(
            line=self.number,
            rows=rows,
            raw=inputs.pack(raw) if raw else b"",
            raw_lines=len(raw),
            frames=frames,
            until_ns=self._now_ns,
            is_last=self._is_over,
        )


def _told(event: FeedEvent) -> tuple[str, tuple[str, ...]]:
    """An event in words, and the markets that it names; no words for what need not be told."""
    match event:
        case Dead():
            end = ", for good" if event.is_final else ""
            return f"{event.channel.value} ended{end}: {event.text or 'no reason given'} (code {event.code})", ()
        case Missing():
            why = f"refused with code {event.code}" if event.code else "asked for again and again without an answer"
            few = ": lower exchange.tickers_per_connection" if event.code == Code.MARKET_LIMIT.number else ""
            return f"{event.channel.value} of {_some(event.tickers)} was {why}{few}", event.tickers
        case Stale():
            return f"books of {_some(event.tickers)} are unknown: {event.cause.value}", event.tickers
        case Missed():
            return f"{event.frames:,} frames of {event.channel.value} are missing", ()
        case Broken():
            return f"a frame cannot be read and is kept as it came: {event.text}", ()
        case Unknown():
            return f"a frame of an unknown type is kept as it came: {shown(event.raw)}", ()
        case _:
            return "", ()


def _some(tickers: tuple[str, ...]) -> str:
    return tickers[0] if len(tickers) == 1 else f"{len(tickers):,} markets, such as {tickers[0]}"
