"""A session as files that others read: CSV, one Parquet file, or frames in the exchange's form, one a line.

Frames come back by `import_session` with the same rows. A snapshot, delta or print is the exchange's own frame; what
no frame of the exchange says (a gap, a result alone) is a `recorder_row`, and numbers that carried no row a
`recorder_skip`; books of assumed size or of one level a side are said to be so by `recorder_facts` in front. Lines are
wrapped with the receive time: {"timestamp": ns, "msg": {…}}.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.data.files import disk_error
from kalshi_ray.data.schema import FLAG_BLOCK
from kalshi_ray.data.session import Session
from kalshi_ray.errors import DataError, UsageError
from kalshi_ray.telemetry import Progress
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.messages import (
    AnyMessage,
    BookDelta,
    BookSnapshot,
    MarketChange,
    RecorderFacts,
    RecorderRow,
    RecorderSkip,
    Trade,
)
from kalshi_ray.wire.numbers import dollars_text, time_text

ExportFormat = Literal["csv", "parquet", "jsonl-frames"]

Row = dict[str, Any]
_ROWS_AT_ONCE = 20_000  # that stand as Python values
_CHANGES = {Status.ACTIVE: "activated", Status.INACTIVE: "deactivated", Status.FINALIZED: "settled"}


def export_session(
    session: Session, path: str, *, format: ExportFormat = "csv", progress: Progress | None = None
) -> int:
    """Write all updates to a file that does not exist yet, whole or not at all; rows written."""
    if format not in _WRITERS:
        raise UsageError(f"no export format {format!r}", remedy=f"Known: {', '.join(_WRITERS)}")
    target = Path(path)
    if target.exists():
        raise UsageError(f"{path} exists", remedy="Choose another name")
    partial = target.with_name(target.name + ".partial")
    try:
        with open(partial, "wb") as stream:
            rows = _WRITERS[format](session, stream, progress)
        partial.rename(target)
    except BaseException as error:  # Ctrl-C too: half a file is of no use
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise disk_error(path, error) from error
        raise
    return rows


def export_markets(session: Session, path: str) -> int:
    """Write the market table as a market list that `ImportOptions.markets` reads; markets written."""
    rows = session.markets().to_pylist()
    known = {int(status): status.name.lower() for status in Status}
    markets = [
        {
            "ticker": row["ticker"],
            "event_ticker": row["event"],
            "series_ticker": row["series"],
            "category": row["category"],
            "open_time": time_text(row["open_ns"]) if row["open_ns"] else None,
            "close_time": time_text(row["close_ns"]) if row["close_ns"] else None,
            "price_ranges": [{name: dollars_text(pips) for name, pips in band.items()} for band in row["price_ranges"]],
            "status": known[row["status"]],
        }
        for row in rows
    ]
    fees = {row["series"]: (row["fee_type"], row["fee_multiplier"]) for row in rows}
    series = [{"ticker": one, "fee_type": kind, "fee_multiplier": factor} for one, (kind, factor) in fees.items()]
    target = Path(path)
    if target.exists():
        raise UsageError(f"{path} exists", remedy="Choose another name")
    try:
        target.write_bytes(msgspec.json.encode({"markets": markets, "series": series}))
    except OSError as error:
        target.unlink(missing_ok=True)
        raise disk_error(path, error) from error
    return len(markets)


def _write_csv(session: Session, stream: BinaryIO, progress: Progress | None) -> int:
    """Columns of the schema with tickers and names of kinds in front; units as in the schema."""
    writer = None
    for table in _named(session, progress):
        if writer is None:
            writer = pacsv.CSVWriter(stream, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return session.manifest.updates


def _write_parquet(session: Session, stream: BinaryIO, progress: Progress | None) -> int:
    writer = None
    for table in _named(session, progress):
        if writer is None:
            writer = pq.ParquetWriter(stream, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return session.manifest.updates


def _named(session: Session, progress: Progress | None) -> Iterator[pa.Table]:
    """The updates with the ticker in front and the name of the kind for its number; at least one table."""
    tickers = pa.array(session.tickers(), pa.string())
    kinds = pa.array(["", *(kind.name.lower() for kind in Kind)])
    done = 0
    for part in _tables(session):
        known = pc.if_else(pc.greater_equal(part["market"], 0), part["market"], None)
        table = part.set_column(part.schema.get_field_index("kind"), "kind", pc.take(kinds, part["kind"]))
        done += table.num_rows
        if progress:
            progress("export", done, session.manifest.updates)
        yield table.add_column(0, "ticker", pc.take(tickers, known))


def _tables(session: Session) -> Iterator[pa.Table]:
    """The updates part by part; one empty table if there are none."""
    if not session.parts:
        yield session.updates()
    for batch in session.update_batches():
        yield pa.Table.from_batches([batch])


def _write_frames(session: Session, stream: BinaryIO, progress: Progress | None) -> int:
    codec = Codec(use_yes_price=bool(session.manifest.use_yes_price))
    speaker = _Speaker(session)
    said = session.manifest
    if (said.depth, said.sizes) != ("full", "observed"):
        facts = RecorderFacts(depth=said.depth, sizes=said.sizes, assumed_size=said.assumed_size)
        _write_line(stream, codec.encode(facts), said.first_ns)
    for table in _tables(session):
        for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                for message, recv_ns in speaker.say(row):
                    _write_line(stream, codec.encode(message), recv_ns)
            if progress:
                progress("export", speaker.done, session.manifest.updates)
    for message, recv_ns in speaker.finish():
        _write_line(stream, codec.encode(message), recv_ns)
    return speaker.done


def _write_line(stream: BinaryIO, frame: bytes, recv_ns: int) -> None:
    stream.write(b'{"timestamp":%d,"msg":%b}\n' % (recv_ns, frame))


Said = list[tuple[AnyMessage, int]]  # messages with their receive time


class _Speaker:
    """Turns rows into messages; a snapshot is held back until its end."""

    def __init__(self, session: Session) -> None:
        self.done = 0
        self._tickers = session.tickers()
        self._grids = session.manifest.grids
        self._levels: list[Row] = []
        self._last_seq: dict[int, int] = {}  # by sid
        self._excused: set[int] = set()  # sids whose next number is right after a gap

    def say(self, row: Row) -> Said:
        """The messages that one more row completes."""
        self.done += 1
        kind = Kind(row["kind"])
        if kind is Kind.SNAPSHOT_LEVEL and self._continues(row):
            self._levels.append(row)
            return []
        if kind is Kind.SNAPSHOT_END and self._continues(row) and _in_order(self._levels):
            levels, self._levels = self._levels, []
            return self._numbered(row, self._snapshot(row, levels))
        said = self.finish()
        if kind is Kind.SNAPSHOT_LEVEL:
            self._levels.append(row)
            return said
        return said + self._numbered(row, self._message(row, kind))

    def finish(self) -> Said:
        """The levels of a snapshot that does not end as one of the exchange would."""
        levels, self._levels = self._levels, []
        return [said for row in levels for said in self._numbered(row, self._recorded(row))]

    def _continues(self, row: Row) -> bool:
        """Whether the row belongs to the snapshot held back, or begins one."""
        same = ("market", "recv_ns", "exch_ns", "sid", "seq")
        plain = row["taker"] == -1 and row["flags"] == 0
        return plain and (not self._levels or all(row[name] == self._levels[0][name] for name in same))

    def _numbered(self, row: Row, message: AnyMessage) -> Said:
        """The message, after a word on the numbers before it that carried no row."""
        sid, seq, recv_ns = row["sid"], row["seq"], row["recv_ns"]
        said: Said = []
        if row["kind"] == Kind.GAP:
            self._excused.add(sid)
        elif sid and seq:
            judged = not isinstance(message, RecorderRow) and sid not in self._excused
            if judged and seq != self._last_seq.get(sid, 0) + 1:
                said.append((RecorderSkip(sid=sid, seq=seq - 1), recv_ns))
            self._excused.discard(sid)
            self._last_seq[sid] = seq
        return [*said, (message, recv_ns)]

    def _snapshot(self, row: Row, levels: list[Row]) -> BookSnapshot:
        bids, asks = (
            tuple((level["price"], level["size"]) for level in levels if level["side"] == side)
            for side in (Side.BID, Side.ASK)
        )
        return BookSnapshot(
            **self._envelope(row), ticker=self._ticker(row), bids=bids, asks=asks, exch_ns=row["exch_ns"]
        )

    def _message(self, row: Row, kind: Kind) -> AnyMessage:
        """The exchange's own frame where it says exactly this row, else a row of ours."""
        change = self._change(row, kind)
        if change is not None:
            return MarketChange(**self._envelope(row), ticker=self._ticker(row), exch_ns=row["exch_ns"], **change)
        plain = row["taker"] == -1 and row["flags"] == 0
        if kind is Kind.DELTA and plain and row["side"] in (Side.BID, Side.ASK):
            return BookDelta(
                **self._envelope(row),
                ticker=self._ticker(row),
                side=Side(row["side"]),
                price=row["price"],
                change=row["size"],
                exch_ns=row["exch_ns"],
            )
        if kind is Kind.TRADE and row["side"] == -1 and row["flags"] in (0, FLAG_BLOCK):
            return Trade(
                **self._envelope(row),
                ticker=self._ticker(row),
                price=row["price"],
                size=row["size"],
                taker=Side(row["taker"]),
                exch_ns=row["exch_ns"],
                is_block=bool(row["flags"]),
            )
        return self._recorded(row)

    def _change(self, row: Row, kind: Kind) -> Row | None:
        """A step in the life of a market that is exactly one frame."""
        if row["market"] < 0 or (row["side"], row["taker"], row["flags"], row["price"]) != (-1, -1, 0, 0):
            return None
        size = row["size"]
        if kind is Kind.STATUS and size in _CHANGES:
            return {"change": _CHANGES[Status(size)], "status": Status(size)}
        if kind is Kind.SCHEDULE and size % SECOND == 0:
            return {"change": "close_date_updated", "close_ns": size}
        if kind is Kind.GRID:
            ranges = tuple((start, end, step) for start, end, step in self._grids[size])
            return {"change": "price_level_structure_updated", "ranges": ranges}
        return None

    def _recorded(self, row: Row) -> RecorderRow:
        if row["kind"] in (Kind.GRID, Kind.FEE) and row["market"] < 0:
            raise DataError(f"{Kind(row['kind']).name} of every market has no frame", remedy="Validate the session")
        columns = {name: row[name] for name in ("kind", "side", "price", "size", "taker", "flags", "exch_ns")}
        return RecorderRow(**self._envelope(row), ticker=self._ticker(row), **columns)

    def _envelope(self, row: Row) -> dict[str, Any]:
        return {"sid": row["sid"], "seq": row["seq"]}

    def _ticker(self, row: Row) -> str:
        return self._tickers[row["market"]] if row["market"] >= 0 else ""


def _in_order(levels: list[Row]) -> bool:
    """Whether the levels stand as they come back from a frame: bids falling, then asks rising, each with a size."""
    keys = [(level["side"], level["price"] if level["side"] == Side.ASK else -level["price"]) for level in levels]
    return all(level["size"] > 0 and level["side"] in (Side.BID, Side.ASK) for level in levels) and all(
        first < second for first, second in pairwise(keys)
    )


_WRITERS = {"csv": _write_csv, "parquet": _write_parquet, "jsonl-frames": _write_frames}
