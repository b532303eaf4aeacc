"""WebSocket frames to rows: bare or wrapped lines, both settings of the price axis, gaps by sequence number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from kalshi_ray.core.units import CONTRACT, SECOND, Side
from kalshi_ray.data.importing.lines import Line, lines_of, text_or_object, time_in
from kalshi_ray.data.importing.options import FrameFiles
from kalshi_ray.data.importing.rows import Recording
from kalshi_ray.data.recording import TapeBuilder
from kalshi_ray.errors import ConfigError, NothingToDo, UsageError, WireError
from kalshi_ray.telemetry import Progress
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.decode import crossings
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, RecorderFacts
from kalshi_ray.wire.trading import StreamMessage

_REPORT_EVERY = 50_000  # lines between two reports of progress


class Received(NamedTuple):
    """A frame and its receive time in ns, 0 where the recorder kept none."""

    line: Line
    frame: bytes
    recv_ns: int


def import_frames(source: FrameFiles, progress: Progress | None = None) -> Recording:
    """The rows of recorded frames, in the order they stand."""
    use_yes_price, total = _axis(source, progress)
    codec = Codec(use_yes_price=bool(use_yes_price))
    builder = TapeBuilder()
    clock = _Clock(builder)
    for done, received in enumerate(_received(source)):
        if progress and done % _REPORT_EVERY == 0:
            progress("frames", done, total)
        message = _decode(codec, received)
        if use_yes_price is None and _has_no_side(message):
            raise _untold(source)
        clock.add(message, received.recv_ns)
    clock.finish(source)
    return _recording(builder, codec, clock, use_yes_price)


def _recording(builder: TapeBuilder, codec: Codec, clock: _Clock, use_yes_price: bool | None) -> Recording:
    unknowns = []
    if clock.derived:
        unknowns.append(f"receive times of {clock.derived} frames: the exchange's own time was taken")
    lost = builder.counts["frames missing outside the books"]
    if lost:
        unknowns.append(f"{lost} frames of other channels than the books are missing, such as prints")
    for what, names in (("keys", codec.unknown_keys), ("types", codec.unknown_types), ("words", codec.unknown_words)):
        if names:
            listed = ", ".join(f"{name} ({count})" for name, count in names.most_common(8))
            unknowns.append(f"frames had unknown {what}: {listed}")
    facts = builder.facts or RecorderFacts(depth="full", sizes="observed")
    if facts.depth == "best":
        unknowns.append("depth beyond the best quotes")
    if facts.sizes == "assumed":
        unknowns.append(f"sizes: {facts.assumed_size / CONTRACT:g} contracts assumed at every quote")
    return Recording(
        rows=builder.rows(),
        tickers=builder.tickers,
        clock=clock.name,
        known=builder.known,
        series=builder.series,
        grids=builder.grids,
        fee_changes=builder.fee_changes,
        counts=builder.counts,
        unknowns=unknowns,
        use_yes_price=use_yes_price,
        depth=facts.depth,
        sizes=facts.sizes,
        assumed_size=facts.assumed_size,
    )


class _Clock:
    """Gives every message a receive time: the recorder's, or the latest time that the exchange put into a frame.

    Frames without any time that come before the first known time wait for it.
    """

    def __init__(self, builder: TapeBuilder) -> None:
        self.derived = 0
        self.recorded = 0
        self._builder = builder
        self._now = 0
        self._waiting: list[StreamMessage] = []

    @property
    def name(self) -> str:
        """What the receive times of the session are."""
        if not self.derived:
            return "receive"
        return "receive, else exchange time" if self.recorded else "exchange time; no receive time was recorded"

    def add(self, message: StreamMessage, recv_ns: int) -> None:
        """Pass a message on with its time."""
        if recv_ns:
            self.recorded += 1
            self._now = recv_ns
        else:
            self.derived += 1
            self._now = max(self._now, message.sent_ns or getattr(message, "exch_ns", 0))
            if not self._now:
                self._waiting.append(message)
                return
        for waiting in self._waiting:
            self._builder.add(waiting, self._now)
        self._waiting.clear()
        self._builder.add(message, self._now)

    def finish(self, source: FrameFiles) -> None:
        """WireError if no frame had a time."""
        if self._waiting:
            raise WireError(
                f"no frame of {source.paths[0]} has a time",
                remedy=f"Wrap the frames with a receive time in the field {source.time_field!r}",
            )


def _received(source: FrameFiles) -> Iterator[Received]:
    """The frames of all files in order. NothingToDo if there is none."""
    mark = f'"{source.time_field}"'.encode()
    found, begun = False, [0]
    for path in source.paths:
        begins = 0
        for line in lines_of(path):
            found = True
            fields = line.fields() if mark in line.text else {}
            if source.time_field not in fields:
                yield Received(line, line.text, 0)
                continue
            if source.frame_field not in fields:
                raise WireError(f"{line} has no field {source.frame_field!r} beside {', '.join(fields)}")
            time = time_in(fields[source.time_field], source.time_unit, source.time_zone, line, form="frames")
            if not begins:
                begins = _in_order(source, path, time, begun)
            yield Received(line, text_or_object(fields[source.frame_field]), time)
    if not found:
        raise NothingToDo(f"no frame in {', '.join(source.paths) or 'no file'}")


def _in_order(source: FrameFiles, path: str, begins: int, begun: list[int]) -> int:
    """The first receive time of a file, after those of the files before it, `begun`. UsageError if it is earlier."""
    if begins < begun[-1]:
        raise UsageError(
            f"{path} begins {(begun[-1] - begins) / SECOND:,.3f} s before a file that is given before it",
            remedy=f"Name the {len(source.paths)} files in the order they were recorded",
        )
    begun.append(begins)
    return begins


def _decode(codec: Codec, received: Received) -> StreamMessage:
    try:
        return codec.decode(received.frame)
    except WireError as error:
        raise WireError(f"{received.line}: {error}") from error


def _axis(source: FrameFiles, progress: Progress | None) -> tuple[bool | None, int]:
    """The setting of use_yes_price, as told or as the books tell, None where neither; and the number of frames.

    ConfigError where the books contradict what was told.
    """
    seen: Counter[str] = Counter()
    codec = Codec(use_yes_price=False)
    frames = 0
    for received in _received(source):
        if progress and frames % _REPORT_EVERY == 0:
            progress("looking through", frames, 0)
        frames += 1
        if b"orderbook_snapshot" not in received.frame:
            continue
        message = _decode(codec, received)
        if isinstance(message, BookSnapshot):
            as_leg, as_yes = crossings(message)
            seen["both sides"] += bool(message.bids and message.asks)
            seen["leg"] += as_leg
            seen["yes"] += as_yes
    if source.use_yes_price is None:
        return (bool(seen["leg"]) if bool(seen["leg"]) != bool(seen["yes"]) else None), frames
    crossed, otherwise = ("yes", "leg") if source.use_yes_price else ("leg", "yes")
    if seen[crossed] * 2 > seen["both sides"] and not seen[otherwise]:
        raise ConfigError(
            f"with use_yes_price={source.use_yes_price} {seen[crossed]} of {seen['both sides']} books are crossed, "
            f"with {not source.use_yes_price} none is",
            remedy="Set frames.use_yes_price to the other",
        )
    return source.use_yes_price, frames


def _has_no_side(message: StreamMessage) -> bool:
    """Whether the meaning of the message depends on use_yes_price."""
    if isinstance(message, BookSnapshot):
        return bool(message.asks)
    return isinstance(message, BookDelta) and message.side is Side.ASK


def _untold(source: FrameFiles) -> ConfigError:
    return ConfigError(
        f"whether NO prices in {source.paths[0]} are of the NO leg or of the YES axis cannot be told from its books",
        remedy="Set frames.use_yes_price to true or false, as the subscribe command said",
    )
