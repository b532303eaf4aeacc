"""The columns of a session and its manifest. Written once here; every store and importer derives from it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pyarrow as pa

SCHEMA_VERSION = 2  # of sessions
TABLE_VERSION = 2  # of the tables below, as files carry it; they hold `seq` as in data.steps

# One row per update, all markets, in arrival order. Units as in core.units, kinds as in core.tape.
UPDATES = pa.schema(
    [
        ("market", pa.int32()),  # row of markets.parquet; -1: every market of the sid
        ("recv_ns", pa.int64()),  # when we received it
        ("exch_ns", pa.int64()),  # when it happened on the exchange; 0 unknown
        ("sid", pa.int32()),  # subscription; 0 unknown
        ("seq", pa.int64()),  # sequence number on the sid; 0 unknown
        ("kind", pa.int8()),  # core.tape.Kind
        ("side", pa.int8()),  # core.units.Side of the level; -1 none
        ("price", pa.int32()),  # pips; SETTLEMENT: value of YES; SIGNAL: which signal; FEE: maker ppm
        ("size", pa.int64()),  # lots, absolute for levels and signed for deltas; GAP: GapCause; STATUS: Status;
        #                        SCHEDULE: close_ns; GRID: index into the manifest's `grids`; FEE: taker ppm;
        #                        SIGNAL: value in millionths
        ("taker", pa.int8()),  # TRADE: the side the taker traded for (BID bought YES); -1 unknown
        ("flags", pa.int8()),  # 1: block trade
    ]
)
FLAG_BLOCK = 1

PRICE_RANGE = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("step", pa.int32())])  # pips

# One row per market: what was known at its first update. Later changes are rows of the tape.
MARKETS = pa.schema(
    [
        ("ticker", pa.string()),
        ("event", pa.string()),
        ("series", pa.string()),
        ("category", pa.string()),  # "" unknown
        ("price_ranges", pa.list_(PRICE_RANGE)),
        ("fee_type", pa.string()),  # "" unknown: charged with maker fees
        ("fee_multiplier", pa.float64()),
        ("open_ns", pa.int64()),  # 0 unknown
        ("close_ns", pa.int64()),  # scheduled; 0 unknown
        ("status", pa.int8()),  # core.tape.Status at the first update
    ]
)

# The true probability after every update; synthetic sessions only. No environment opens this file.
TRUTH = pa.schema(
    [
        ("market", pa.int32()),
        ("recv_ns", pa.int64()),
        ("exch_ns", pa.int64()),
        ("p", pa.float64()),  # probability that YES pays, after all rows of this exchange time
        ("signal", pa.int8()),  # planted: -1, 0, +1
    ]
)

Source = Literal["collect", "import", "synthetic", "simulated"]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One piece of a session: `sha256` of its bytes, or of its rows where a store keeps rows."""

    rows: int
    bytes: int
    sha256: str
    level: int = 0  # of the zstd by which a raw part was packed; 0: as it was recorded


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """session.json. Counts and times are computed from the rows, never from counters kept while writing."""

    id: str
    source: Source
    schema_version: int = SCHEMA_VERSION
    environment: str = ""  # production | demo | simulated | synthetic | ""
    created: str = ""  # UTC, ISO 8601
    clock: str = ""  # what recv_ns is: "receive", or how it was derived
    depth: Literal["full", "best"] = "full"
    sizes: Literal["observed", "assumed"] = "observed"
    has_trades: bool = True
    use_yes_price: bool | None = None  # of the subscription, where there was one
    unknowns: list[str] = []  # what the recording cannot say, in words
    gap_threshold_s: float = 0.0
    assumed_size: int = 0  # lots, where sizes are assumed
    grids: list[list[list[int]]] = []  # price grids that GRID rows refer to: [[start, end, step], ...] in pips
    signals: list[str] = []  # names that SIGNAL rows refer to
    markets: int = 0
    updates: int = 0
    kinds: dict[str, int] = {}  # rows by core.tape.Kind name
    first_ns: int = 0
    last_ns: int = 0
    content: str = ""  # identity of markets, grids, signals and rows in order, the same in every store: data.content
    files: dict[str, FileEntry] = {}  # by name of the piece
    origin: dict[str, Any] = {}  # how it was made: import options, generator parameters and seed

    @property
    def raw_bytes(self) -> int:
        """Bytes of the frames kept as received, compressed."""
        return sum(entry.bytes for name, entry in self.files.items() if name.startswith("raw/"))

    @property
    def has_truth(self) -> bool:
        """Whether the true probability is recorded beside the session."""
        return "truth.parquet" in self.files
