"""What an import has to be told. Nothing here is guessed: what a file cannot say is an option or an `unknown`."""

from __future__ import annotations

import re
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from kalshi_ray.core.units import CENT_GRID, DECI_CENT_GRID, DOLLAR, FINEST_GRID, TAPERED_GRID, PriceGrid
from kalshi_ray.errors import ConfigError

# `auto`: a timestamp column has its own unit and text is ISO 8601; bare numbers need to be told.
TimeUnit = Literal["auto", "iso", "s", "ms", "us", "ns"]
PriceUnit = Literal["cents", "dollars", "pips"]

INFER = "infer"


class FrameFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="frames"):
    """WebSocket frames, one JSON object a line: bare, or wrapped with a receive time. Blank lines are skipped."""

    # files in the order they were recorded; .zst and .gz are unpacked
    paths: tuple[str, ...]
    # what the subscribe command said; None: told from the books, an error where they do not tell
    use_yes_price: bool | None = None
    # field of a wrapped line with the receive time; a line without it is a bare frame
    time_field: str = "timestamp"
    # unit of that field; auto is ns for numbers and ISO 8601 for text
    time_unit: TimeUnit = "auto"
    # zone of times that name none, such as America/New_York; "": such times are refused
    time_zone: str = ""
    # field of a wrapped line with the frame, as an object or as JSON text
    frame_field: str = "msg"


class QuoteFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="quotes"):
    """Best quotes, CSV or Parquet: a log of changes or samples. One row is one market at one time."""

    # files in any order: rows are put in order of time
    paths: tuple[str, ...]
    # column of the market
    ticker: str = "market_ticker"
    # column of the time
    time: str = "timestamp"
    # unit of that column
    time_unit: TimeUnit = "auto"
    # zone of times that name none, such as US/Pacific; "": such times are refused
    time_zone: str = ""
    # column of the best YES bid; empty, 0 or NaN: no bid
    bid: str = "best_yes_bid"
    # column of the best YES ask; empty, 0, or $1 and more: no ask. Give either this or no_bid
    ask: str = ""
    # column of the best NO bid; empty, 0 or NaN: no bid
    no_bid: str = ""
    # columns of the sizes in contracts at the best quotes; "": the size is assumed (ImportOptions.assumed_size)
    bid_size: str = ""
    ask_size: str = ""
    # unit of the prices
    unit: PriceUnit = "cents"

    def __post_init__(self) -> None:
        if bool(self.ask) == bool(self.no_bid):
            came = "both quotes.ask and quotes.no_bid" if self.ask else "neither quotes.ask nor quotes.no_bid"
            raise ConfigError(
                f"{came} name a column", remedy="Give the column of the YES ask or of the NO bid, exactly one of them"
            )
        if bool(self.bid_size) != bool(self.ask_size):
            raise ConfigError(
                "one of quotes.bid_size and quotes.ask_size names a column, the other does not",
                remedy="Give the size columns of both sides or of none",
            )


class TradeFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="trades"):
    """Public prints: CSV, Parquet, or JSON as `GET /markets/trades` answers (which needs no column names)."""

    # files in any order: rows are put in order of time
    paths: tuple[str, ...]
    # column of the market
    ticker: str = "ticker"
    # column of the time of the print on the exchange
    time: str = "created_time"
    # unit of that column
    time_unit: TimeUnit = "auto"
    # zone of times that name none; "": such times are refused
    time_zone: str = ""
    # column of the YES price
    price: str = "yes_price_dollars"
    # unit of the price
    unit: PriceUnit = "dollars"
    # column of the contracts
    size: str = "count_fp"
    # column of the side the taker traded for (yes, no, bid or ask); "": unknown
    taker: str = ""


class BookFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="books"):
    """Full books as REST sent them, one JSON object a line with time and ticker. NO prices are of the NO leg there."""

    # files in any order: rows are put in order of time
    paths: tuple[str, ...]
    # field of the market
    ticker_field: str = "market_id"
    # field of the time
    time_field: str = "timestamp"
    # unit of that field; auto is ISO 8601 for text
    time_unit: TimeUnit = "auto"
    # zone of times that name none; "": such times are refused
    time_zone: str = ""
    # field of the book
    book_field: str = "order_book"


ImportSource = FrameFiles | QuoteFiles | TradeFiles | BookFiles


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for the whole session, whatever it is imported from."""

    # files of settlement results: CSV, Parquet or JSON with ticker and result (yes, no, or the scalar in dollars)
    results: tuple[str, ...] = ()
    # column of the time the result was known, in the results files; "": right after the market's last row
    results_time: str = ""
    # files of market lists, events or series as REST sends them: names, grids, schedule, fees
    markets: tuple[str, ...] = ()
    # production, demo, …; "" unknown
    environment: str = ""
    # a gap is marked where every market of an event is silent for longer; 0: never. Sampled data only, not frames
    gap_threshold_s: float = 300.0
    # contracts assumed at a quote whose size was not recorded
    assumed_size: int = 10
    # label of the price grid where no market list says it, or "infer": the coarsest that holds all prices of the series
    grid: str = INFER
    # event of a ticker where no market list says it: the first group of this pattern
    event_pattern: str = r"(.+)-[^-]+"
    # series of a ticker where no market list says it: the first group of this pattern
    series_pattern: str = r"([^-]+)-.+"
    # category of all markets; "" unknown
    category: str = ""
    # fee type where no series list says it; "" unknown, which is charged with maker fees
    fee_type: str = ""
    # fee multiplier where no series list says it
    fee_multiplier: float = 1.0

    def __post_init__(self) -> None:
        if self.gap_threshold_s < 0:
            raise ConfigError(f"gap_threshold_s is {self.gap_threshold_s}, expected 0 (never) or more seconds")
        if self.assumed_size < 1:
            raise ConfigError(f"assumed_size is {self.assumed_size}, expected at least 1 contract")
        if self.grid != INFER and self.grid not in GRIDS:
            raise ConfigError(f"no price grid named {self.grid!r}", remedy=f"Known: {INFER}, {', '.join(GRIDS)}")
        for name in ("event_pattern", "series_pattern"):
            try:
                groups = re.compile(getattr(self, name)).groups
            except re.error as error:
                raise ConfigError(f"{name} is no regular expression: {error}") from error
            if groups < 1:
                raise ConfigError(f"{name} has no group in brackets", remedy="Put brackets around the part to take")


def zone_named(name: str) -> ZoneInfo:
    """A time zone by its IANA name. ConfigError for what is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as error:
        raise ConfigError(f"no time zone named {name!r}", remedy="Use a name such as America/New_York") from error


def _tapered(edge: int, center: int) -> PriceGrid:
    """A step outside [$0.10, $0.90] and one inside."""
    return PriceGrid(((0, 1_000, edge), (1_000, 9_000, center), (9_000, DOLLAR, edge)))


# The exchange's own labels (protocol.md section 2).
GRIDS: dict[str, PriceGrid] = {
    "linear_cent": CENT_GRID,
    "center_whole_edge_half_cent": _tapered(50, 100),
    "center_half_edge_half_cent": _tapered(50, 50),
    "center_whole_edge_quint_cent": _tapered(20, 100),
    "center_half_edge_quint_cent": _tapered(20, 50),
    "tapered_deci_cent": TAPERED_GRID,
    "center_half_edge_deci_cent": _tapered(10, 50),
    "center_quint_edge_quint_cent": _tapered(20, 20),
    "center_quint_edge_deci_cent": _tapered(10, 20),
    "deci_cent": DECI_CENT_GRID,
    "center_deci_edge_centi_cent": PriceGrid(((0, 100, 1), (100, 9_900, 10), (9_900, DOLLAR, 1))),
    "center_centi_edge_centi_cent": FINEST_GRID,
}
