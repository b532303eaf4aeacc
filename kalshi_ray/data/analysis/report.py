"""What an analysis says of a session: plain records that go to JSON, to tables and to a page.

Money is in cents per contract, sizes in contracts, time in seconds or hours: this is a border, for people. A figure
that cannot be measured from the recording is None, and `unmeasurable` says why by the name of the figure.
"""

from __future__ import annotations

import msgspec

from kalshi_ray.data.selection import Rejected, SuitabilitySettings
from kalshi_ray.errors import ConfigError


class AnalysisSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look at."""

    # Look at costs against moves, markouts, results of makers and sums over events too.
    edge: bool = False
    # Which markets count as suitable.
    suitability: SuitabilitySettings = SuitabilitySettings()
    # Markets in each ranking.
    top: int = 20
    # Times over which moves are compared with costs, s.
    horizons_s: tuple[float, ...] = (1.0, 10.0, 60.0, 300.0, 1_800.0)
    # Times after which prints are marked, s.
    markouts_s: tuple[float, ...] = (1.0, 5.0, 30.0, 60.0, 300.0)

    def __post_init__(self) -> None:
        for name, horizons in (("horizons_s", self.horizons_s), ("markouts_s", self.markouts_s)):
            if not horizons or min(horizons) <= 0.0:
                raise ConfigError(f"{name} is {list(horizons)}, expected one or more above 0")
        if self.top < 1:
            raise ConfigError(f"top is {self.top}, expected 1 or more")


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The session in one look."""

    session: str
    checksum: str
    source: str
    depth: str
    sizes: str
    has_trades: bool
    first_ns: int
    last_ns: int
    duration: str  # 1 d 2 h 3 m 4 s
    listed_markets: int
    markets: int  # with updates
    events: int
    updates: int  # rows of all views; a gap of every market counts in each
    snapshots: int
    deltas: int
    trades: int | None
    contracts: float | None  # traded
    gaps: int
    damaged: int  # book levels that would have gone below zero
    known_share: float  # of market time
    two_sided_share: float  # of open market time
    crossed_share: float
    spread_cents: float | None  # mean over two-sided market time
    decisions: int
    suitable_decisions: int
    suitable: int
    quality: float  # 0 to 1
    quality_formula: str
    priority: str
    priority_rule: str


class MarketLine(msgspec.Struct, frozen=True, kw_only=True):
    """One market."""

    ticker: str
    event: str
    series: str
    category: str
    updates: int
    decisions: int
    quarters: tuple[int, int, int, int]  # decision points by quarter of the time of `quarters_of`
    quarters_of: str  # session | event
    quarters_present: int
    pattern: str
    spread_cents: float | None
    mid_cents: float | None
    low_cents: float | None  # of the mid
    high_cents: float | None
    one_sided_share: float  # of open time
    unknown_share: float  # of all time
    crossed_share: float
    touch_contracts: float | None  # mean of both sides at the best prices
    depth_contracts: float | None  # all levels of both sides, mean over open time
    trades: int | None
    contracts: float | None
    gaps: int
    move_cents_p50: float | None  # of the mid, per change
    move_cents_p90: float | None
    pause_s_p50: float | None  # between changes of the best prices
    pause_s_p90: float | None
    hours: float
    ending: str  # two-sided, no bid, no ask, empty or crossed; what came after it
    suitable: bool
    reason: str  # why not


class Ranked(msgspec.Struct, frozen=True):
    """A market in a ranking."""

    ticker: str
    contracts: float


class ActivityLine(msgspec.Struct, frozen=True):
    """Activity in an hour of the day or a tenth of the session."""

    name: str
    updates: int
    quote_changes: int
    trades: int
    decisions: int


class RegimeLine(msgspec.Struct, frozen=True):
    """Two-sided market time by spread, and markets by their mean spread."""

    name: str
    hours: float
    share: float
    markets: int


class CostLine(msgspec.Struct, frozen=True):
    """What a round trip by taking costs per contract: spread, and taker fee on both ways."""

    name: str
    hours: float
    spread_cents: float
    fee_cents: float
    round_trip_cents: float


class HorizonLine(msgspec.Struct, frozen=True, kw_only=True):
    """How far the mid goes in a time, against the cost of a round trip at its start; weighted by time."""

    seconds: float
    hours: float  # market time with two sides at both ends
    unseen_share: float  # of two-sided time: no two sides at the later end
    move_cents: dict[str, float]  # by quantile: p50, p75, p90, p95, p99
    over_cost_share: float  # of the time the mid moved by more than the round trip cost
    foresight_share: float  # of the time one who knew both quotes would have earned by taking twice


class MarkoutLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the takers of prints had earned after a time, per contract, by the mid then."""

    seconds: float
    taker: str  # bought | sold | both
    prints: int
    contracts: float
    cents: float  # before fees
    after_fee_cents: float
    error_cents: float | None  # standard error by event; None with a single event
    unseen: int  # prints without two sides at the later time


class MakerLine(msgspec.Struct, frozen=True, kw_only=True):
    """What those who were hit had earned: the fill at the print's price, marked at the mid after a time."""

    series: str
    seconds: float
    contracts: float
    gross_cents: float
    fee_cents: float
    net_cents: float
    error_cents: float | None  # standard error by event


class ArbitrageLine(msgspec.Struct, frozen=True):
    """How often and for how long a sum over strikes left something after taker fees."""

    count: int
    seconds: float
    longest_s: float
    best_cents: float  # per set of contracts


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of best prices over the recorded markets of an event, two or more, while all are open and two-sided."""

    event: str
    markets: int
    hours: float
    bid_sum_cents: float | None  # median
    ask_sum_cents: float | None
    buy_all: ArbitrageLine  # asks + fees below one dollar: worth it where exactly one strike pays
    sell_all: ArbitrageLine  # bids - fees above one dollar


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """What can be earned at all, before any training."""

    round_trip_cents: dict[str, float]  # mean, p10, p25, p50, p75, p90 over two-sided market time
    by_price: list[CostLine]
    by_hour: list[CostLine]
    horizons: list[HorizonLine]
    markouts: list[MarkoutLine] | None
    makers: list[MakerLine] | None
    events: list[EventLine]
    unknown_takers: int


class AnalysisReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an analysis found."""

    overview: Overview
    markets: list[MarketLine]
    rejected: list[Rejected]
    patterns: dict[str, int]
    top_displayed: list[Ranked] | None  # mean contracts resting in the book
    top_traded: list[Ranked] | None  # contracts traded
    hours: list[ActivityLine]
    phases: list[ActivityLine]
    regimes: list[RegimeLine]
    edge: Edge | None
    unmeasurable: dict[str, str]
    settings: AnalysisSettings
