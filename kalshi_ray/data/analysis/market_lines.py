"""From the measures of a market to the line a person reads, and from all of them to quality and priority."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR
from kalshi_ray.data.analysis.report import MarketLine
from kalshi_ray.data.measures import CROSSED, INACTIVE, OPEN, UNKNOWN
from kalshi_ray.data.selection import SuitabilitySettings, decisions_by_quarter, pattern_of

HOUR_S = 3_600.0
DAY_S = 86_400.0

QUALITY_FORMULA = (
    "0.3 x share of market time with a known book + 0.2 x share of open time with two sides + 0.2 x share of markets "
    "that are suitable + 0.15 x min(1, hours / 4) + 0.15 x recorded (full depth 0.5, observed sizes 0.25, prints 0.25)"
)
PRIORITY_RULE = (
    "PRIMARY: quality >= 0.6, >= 4 h, >= 50 suitable markets with >= 100,000 decision points; HIGH: quality >= 0.6, "
    ">= 1 h, >= 20 and 20,000; GENERALIZATION: quality >= 0.5, >= 1 h, >= 5 suitable; VALIDATION: quality >= 0.4, "
    ">= 1 suitable; else STRESS TEST"
)


@dataclass(frozen=True)
class Facts:
    """What quality and priority are computed from."""

    known_share: float
    two_sided_share: float
    suitable_share: float
    hours: float
    recorded: float
    suitable: int
    suitable_decisions: int


def quality_of(facts: Facts) -> float:
    """QUALITY_FORMULA, 0 to 1."""
    return (
        0.3 * facts.known_share
        + 0.2 * facts.two_sided_share
        + 0.2 * facts.suitable_share
        + 0.15 * min(1.0, facts.hours / 4.0)
        + 0.15 * facts.recorded
    )


def priority_of(facts: Facts) -> str:
    """PRIORITY_RULE."""
    quality, hours, suitable, decisions = quality_of(facts), facts.hours, facts.suitable, facts.suitable_decisions
    if quality >= 0.6 and hours >= 4.0 and suitable >= 50 and decisions >= 100_000:
        return "PRIMARY"
    if quality >= 0.6 and hours >= 1.0 and suitable >= 20 and decisions >= 20_000:
        return "HIGH"
    if quality >= 0.5 and hours >= 1.0 and suitable >= 5:
        return "GENERALIZATION"
    return "VALIDATION" if quality >= 0.4 and suitable >= 1 else "STRESS TEST"


def recorded_share(pack: ViewPack) -> float:
    """How much of what matters was recorded: full depth, observed sizes, prints."""
    return 0.5 * (pack.depth == "full") + 0.25 * (pack.sizes == "observed") + 0.25 * pack.has_trades


def duration_text(nanoseconds: int) -> str:
    """`1 d 2 h 3 m 4 s`; leading zeros are left out."""
    seconds = nanoseconds // 1_000_000_000
    parts = [(seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in parts)


@dataclass(frozen=True)
class Changes:
    """How the best prices of one market changed, from its quote path."""

    move_cents: NDArray[np.float64]  # of the mid, where it moved between two-sided quotes
    pause_s: NDArray[np.float64]  # between changes of the best prices

    @classmethod
    def of(cls, path: NDArray[np.void]) -> Changes:
        """From the PATH rows of one view."""
        bid, ask, recv = path["bid"], path["ask"], path["recv_ns"]
        moved = np.flatnonzero((np.diff(bid) != 0) | (np.diff(ask) != 0)) + 1
        two_sided = (path["state"] == OPEN) & (bid > 0) & (ask < DOLLAR)
        mid = (bid + ask)[two_sided]
        steps = np.abs(np.diff(mid)) / (2.0 * CENT)
        return cls(steps[steps > 0.0], np.diff(recv[moved]) * 1e-9)


def describe_market(
    pack: ViewPack,
    view: int,
    measure: np.void,
    changes: Changes,
    names: tuple[str, str],
    settings: SuitabilitySettings,
    reason: str,
) -> MarketLine:
    """One line. `names` are series and category, `reason` why the market was left out, "" if it was not."""
    seconds, two_sided = measure["seconds"], float(measure["two_sided_s"])
    opened, total = float(seconds[OPEN]), float(seconds.sum())
    whose, quarters = decisions_by_quarter(measure, settings.quarters_of)
    sized = two_sided > 0.0 and pack.sizes == "observed"
    first, second, third, fourth = (int(count) for count in quarters)
    return MarketLine(
        ticker=pack.tickers[view],
        event=pack.events[pack.views[view]["event"]],
        series=names[0],
        category=names[1],
        updates=int(measure["updates"]),
        decisions=int(measure["decisions"].sum()),
        quarters=(first, second, third, fourth),
        quarters_of=whose,
        quarters_present=int(np.count_nonzero(quarters)),
        pattern=pattern_of(quarters),
        spread_cents=float(measure["spread_sum"]) / two_sided / CENT if two_sided else None,
        mid_cents=float(measure["mid_sum"]) / two_sided / CENT if two_sided else None,
        low_cents=float(measure["mid_low"]) / 2 / CENT if two_sided else None,
        high_cents=float(measure["mid_high"]) / 2 / CENT if two_sided else None,
        one_sided_share=share(float(measure["bid_only_s"] + measure["ask_only_s"]), opened),
        unknown_share=share(float(seconds[UNKNOWN]), total),
        crossed_share=share(float(seconds[CROSSED]), total),
        touch_contracts=float(measure["touch_sum"]) / two_sided / CONTRACT if sized else None,
        depth_contracts=float(measure["depth_sum"]) / opened / CONTRACT
        if opened and pack.depth == "full" and pack.sizes == "observed"
        else None,
        trades=int(measure["trades"]) if pack.has_trades else None,
        contracts=float(measure["traded"]) / CONTRACT if pack.has_trades else None,
        gaps=int(measure["gaps"]),
        move_cents_p50=_quantile(changes.move_cents, 0.5),
        move_cents_p90=_quantile(changes.move_cents, 0.9),
        pause_s_p50=_quantile(changes.pause_s, 0.5),
        pause_s_p90=_quantile(changes.pause_s, 0.9),
        hours=total / HOUR_S,
        ending=ending_of(measure),
        suitable=not reason,
        reason=reason,
    )


def ending_of(measure: np.void) -> str:
    """How the last known book stood, and what came after it."""
    state, known_s = int(measure["end_state"]), float(measure["seconds"].sum() - measure["seconds"][UNKNOWN])
    if state == UNKNOWN and known_s == 0.0:
        return "unknown"
    no_bid, no_ask = bool(measure["end_bid"] == 0), bool(measure["end_ask"] == DOLLAR)
    book = "empty" if no_bid and no_ask else "no bid" if no_bid else "no ask" if no_ask else "two-sided"
    return {UNKNOWN: f"{book}, then unknown", INACTIVE: f"{book}, closed", CROSSED: "crossed", OPEN: book}[state]


def share(part: float, whole: float) -> float:
    """Part of a whole, 0 where there is none."""
    return part / whole if whole > 0.0 else 0.0


def _quantile(values: NDArray[np.float64], at: float) -> float | None:
    return float(np.quantile(values, at)) if len(values) else None
