"""Full books sampled by REST: every one a snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import SECOND
from kalshi_ray.data.importing.lines import Line, lines_of, text_or_object, time_in
from kalshi_ray.data.importing.market_table import Names
from kalshi_ray.data.importing.options import BookFiles, ImportOptions
from kalshi_ray.data.importing.rows import Recording
from kalshi_ray.data.recording import TapeBuilder
from kalshi_ray.errors import NothingToDo, WireError
from kalshi_ray.wire.decode import decode_book
from kalshi_ray.wire.messages import BookSnapshot, RecorderRow


def import_books(source: BookFiles, options: ImportOptions, names: Names) -> Recording:
    """The books of all files in order of time. A silence of an event is a gap, as with quotes."""
    samples = sorted(_samples(source), key=lambda sample: sample[0])
    if not samples:
        raise NothingToDo(f"no book in {', '.join(source.paths) or 'no file'}")
    builder, counts = TapeBuilder(), Counter({"books": len(samples)})
    last: dict[str, int] = {}  # by event, time of its last book
    seen: dict[str, dict[str, None]] = {}  # by event, its markets
    for time, book in samples:
        event = names.event(book.ticker)
        if options.gap_threshold_s and time - last.get(event, time) > options.gap_threshold_s * SECOND:
            counts["gaps: silence"] += 1
            for ticker in seen[event]:
                builder.add(RecorderRow(ticker=ticker, kind=Kind.GAP, size=GapCause.SILENCE), last[event])
        builder.add(book, time)
        last[event] = time
        seen.setdefault(event, {})[book.ticker] = None
    rows = builder.rows()
    unknowns = ["changes between two samples of a book", "exchange times, sequence numbers"]
    if source.time_zone:
        unknowns.append(f"zone of the clock: {source.time_zone} as told")
    return Recording(
        rows=rows[rows["recv_ns"].argsort(kind="stable")],  # a gap was noticed after books of other events
        tickers=builder.tickers,
        clock=f"time field {source.time_field!r} of the samples, taken as receive time",
        counts=counts,
        unknowns=unknowns,
    )


def _samples(source: BookFiles) -> Iterator[tuple[int, BookSnapshot]]:
    for path in source.paths:
        for line in lines_of(path):
            fields = line.fields()
            at = _field(line, fields, source.time_field)
            time = time_in(at, source.time_unit, source.time_zone, line, form="books")
            ticker = _text(line, _field(line, fields, source.ticker_field))
            try:
                book = decode_book(ticker, text_or_object(_field(line, fields, source.book_field)))
            except WireError as error:
                raise WireError(f"{line}: {error}") from error
            yield time, book


def _field(line: Line, fields: dict[str, msgspec.Raw], name: str) -> msgspec.Raw:
    if name not in fields:
        raise WireError(f"{line} has no field {name!r}, only {', '.join(fields)}")
    return fields[name]


def _text(line: Line, value: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.DecodeError as error:
        raise WireError(f"{line}: expected a ticker, got {bytes(value)[:80]!r}") from error
