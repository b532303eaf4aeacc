"""Where the net came from: by kind of market, and by what stood when a trade was entered.

A market belongs to one group of each kind of market, with all it did. A trade belongs to the group of its first fill,
with everything until it ended: the groups of a breakdown sum to the net to the micro.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.units import CENT, CONTRACT, MICROS_PER_CENT, MICROS_PER_DOLLAR
from kalshi_ray.evaluate import tally
from kalshi_ray.evaluate.intervals import Interval, by_event
from kalshi_ray.evaluate.ledger import Ending, Ledger, parts_of, trades_of
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.traits import Traits
from kalshi_ray.policy.protocol import keyed_uniform, market_key

PRICE_BOUNDS = (5, 20, 40, 60, 80, 95)  # cents
PRICE_BANDS = ("up to 5¢", "5-20¢", "20-40¢", "40-60¢", "60-80¢", "80-95¢", "above 95¢")
TERTILES = ("low", "middle", "high")
UNKNOWN = "unknown"

Of = Literal["markets", "entries", "subsets"]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy did in one part of the markets or of its trades."""

    name: str
    markets: int  # of the group; of entries: in which it traded
    decisions: int | None  # None: decisions are not told apart by this
    hold_share: float | None
    fills: int
    contracts: float
    trades: int
    win_rate: float | None
    net: float  # dollars
    net_cents: float | None  # per contract
    per_market: Interval  # dollars; without an interval under ten events

    @property
    def is_small(self) -> bool:
        """Whether there are too few events for any interval."""
        return self.per_market.low is None


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """One way to divide. Groups of markets and of entries sum to the net; subsets hold each other."""

    by: str
    of: Of
    words: str  # how it was divided
    groups: tuple[Group, ...]


class Consistency(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the net has one sign over kinds of market (N-10). Advice; no gate asks for it."""

    verdict: Literal["consistent", "mixed", "inconsistent", "not computable"]
    words: str


def breakdowns_of(
    ledger: Ledger,
    traits: Traits,
    rows: NDArray[np.int64],
    settings: EvaluationSettings,
    *,
    acts: bool,
) -> tuple[Breakdown, ...]:
    """Every breakdown of a ledger; `rows` [N] are its markets' places in `traits`, `acts`: it answers with actions."""
    divider = _Divider(ledger, settings)
    made = [
        divider.by_market(kind, words, codes, names)
        for kind, words, codes, names in _kinds_of_market(traits, rows)
        if len(names) > 0
    ]
    made += _by_entry(divider, traits, rows, acts=acts)
    made += _by_number(divider, settings)
    return tuple(made)


def consistency_of(breakdowns: Sequence[Breakdown]) -> Consistency:
    """The verdict over category, series, activity and volatility, from the groups that have an interval."""
    found = [
        (one, group)
        for one in breakdowns
        if one.of == "markets" and sum(not group.is_small for group in one.groups) > 1
        for group in one.groups
        if not group.is_small
    ]
    if not found:
        words = "no kind of market is divided into two groups of at least ten events each"
        return Consistency(verdict="not computable", words=words)
    losing = [(one, group) for one, group in found if group.per_market.mean <= 0]
    surely = [(one, group) for one, group in losing if group.per_market.high is not None and group.per_market.high < 0]
    worst = sorted(surely or losing, key=lambda pair: pair[1].per_market.mean)
    named = ", ".join(f"{one.by} {group.name}" for one, group in worst[:3])
    named += f" and {len(worst) - 3} more of {len(found)} groups" if len(worst) > 3 else ""
    if surely:
        return Consistency(verdict="inconsistent", words=f"the whole interval is below zero in {named}")
    if losing:
        return Consistency(verdict="mixed", words=f"net is not above zero in {named}")
    return Consistency(
        verdict="consistent", words=f"net is above zero in all {len(found)} groups of ten events and more"
    )


def seeded_order(tickers: Sequence[str], seed: int) -> NDArray[np.int64]:
    """An order of markets that depends on their names and the seed alone: the first n are a fixed subset."""
    keys = np.array([market_key(ticker) for ticker in tickers], np.uint64)
    return np.argsort(keyed_uniform(seed, keys, np.zeros(len(keys), np.int64)), kind="stable")


class _Divider:
    """The trades of a ledger, cut into groups."""

    def __init__(self, ledger: Ledger, settings: EvaluationSettings) -> None:
        self.ledger, self.settings = ledger, settings
        parts = parts_of(ledger)
        self.trades = trades_of(ledger, parts)
        first = np.flatnonzero(np.r_[True, np.diff(parts["trade"]) > 0]) if len(parts) else np.zeros(0, np.intp)
        self.entry = parts["fill"][first]  # [T] the fill that opened each trade
        whole = np.r_[True, np.diff(parts["fill"]) > 0] if len(parts) else np.zeros(0, np.bool_)
        # A fill that crosses zero counts where it closes.
        self.fills = np.bincount(parts["trade"][whole], minlength=len(self.trades)).astype(np.int64)

    def by_market(self, kind: str, words: str, codes: NDArray[np.int64], names: Sequence[str]) -> Breakdown:
        """Groups of markets by `codes` [N]; groups without a market are left out."""
        of_trade = codes[self.trades["market"]]
        groups = [
            self.group(name, of_trade == code, codes == code, *self._decisions(codes == code))
            for code, name in enumerate(names)
            if (codes == code).any()
        ]
        return Breakdown(by=kind, of="markets", words=words, groups=tuple(groups))

    def by_entry(
        self,
        kind: str,
        words: str,
        codes: NDArray[np.int64],
        names: Sequence[str],
        counted: NDArray[np.int64] | None = None,
        *,
        acts: bool = False,
    ) -> Breakdown:
        """Groups of trades by `codes` [T] of their first fill; `counted` [groups, INTENTS] are decisions."""
        groups = []
        for code, name in enumerate(names):
            chosen = codes == code
            decisions = None if counted is None else int(counted[code].sum())
            if not chosen.any() and not decisions:
                continue
            held = float(counted[code][0] / decisions) if acts and counted is not None and decisions else None
            traded = np.zeros(len(self.ledger.tickers), np.bool_)
            traded[self.trades["market"][chosen]] = True
            groups.append(self.group(name, chosen, traded, decisions, held))
        return Breakdown(by=kind, of="entries", words=words, groups=tuple(groups))

    def group(
        self,
        name: str,
        chosen: NDArray[np.bool_],
        markets: NDArray[np.bool_],
        decisions: int | None,
        hold_share: float | None,
    ) -> Group:
        """The trades `chosen` [T] in the markets [N] of one group."""
        trades, settings = self.trades[chosen], self.settings
        done = trades[trades["ending"] != int(Ending.OPEN)]
        net, lots = int(trades["closed_pnl"].sum()), int(trades["traded_lots"].sum())
        by_market = np.zeros(len(markets), np.int64)
        np.add.at(by_market, trades["market"], trades["closed_pnl"])
        return Group(
            name=name,
            markets=int(markets.sum()),
            decisions=decisions,
            hold_share=hold_share,
            fills=int(self.fills[chosen].sum()),
            contracts=lots / CONTRACT,
            trades=len(done),
            win_rate=float((done["pnl"] > 0).mean()) if len(done) else None,
            net=net / MICROS_PER_DOLLAR,
            net_cents=net / MICROS_PER_CENT / (lots / CONTRACT) if lots else None,
            per_market=by_event(
                by_market[markets] / MICROS_PER_DOLLAR,
                self.ledger.events[markets],
                level=settings.level,
                resamples=settings.resamples,
                seed=settings.seed,
            ),
        )

    def _decisions(self, markets: NDArray[np.bool_]) -> tuple[int, float | None]:
        episodes = self.ledger.episodes[markets]
        steps = int(episodes["steps"].sum())
        return steps, int(episodes["holds"].sum()) / steps if steps else None

    def subset(self, name: str, markets: NDArray[np.bool_]) -> Group:
        """All that happened in some markets."""
        return self.group(name, markets[self.trades["market"]], markets, *self._decisions(markets))


def _kinds_of_market(
    traits: Traits, rows: NDArray[np.int64]
) -> list[tuple[str, str, NDArray[np.int64], tuple[str, ...]]]:
    """(kind, words, group of each market, names) of every way to tell markets apart."""
    found = [
        ("activity", "markets in thirds by changes of the book an hour", *_thirds(traits.updates_per_hour[rows], "/h")),
        (
            "volatility",
            "markets in thirds by the movement of the mid, ¢ by the root of an hour",
            *_thirds(traits.volatility[rows], "¢"),
        ),
    ]
    for kind, labels in traits.labels.items():
        own = [labels[row] or UNKNOWN for row in rows]
        names = tuple(sorted(set(own)))
        codes = np.array([names.index(name) for name in own], np.int64)
        found.append((kind, f"markets by {kind} in the session's market table", codes, names))
    return found


def _thirds(values: NDArray[np.float64], unit: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Three groups of about equal size with their bounds in words, and one of markets without a value."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values), np.int64), (UNKNOWN,)
    low, high = np.quantile(known, [1 / 3, 2 / 3])
    codes = np.where(np.isnan(values), 3, (values > low).astype(np.int64) + (values > high))
    shown = [f"{bound:,.0f}{unit}" if bound >= 100 else f"{bound:.3g}{unit}" for bound in (low, high)]
    words = (f"up to {shown[0]}", f"to {shown[1]}", f"above {shown[1]}")
    return codes.astype(np.int64), (*(f"{name}: {said}" for name, said in zip(TERTILES, words, strict=True)), UNKNOWN)


def _by_entry(divider: _Divider, traits: Traits, rows: NDArray[np.int64], *, acts: bool) -> list[Breakdown]:
    """By spread, price, phase, end and pace at the first fill of each trade."""
    ledger, trades, entry = divider.ledger, divider.trades, divider.entry
    market, ns = rows[trades["market"]], ledger.fills["venue_ns"][entry]
    paid = trades["stake"] / np.maximum(trades["lots"], 1) / CENT
    states, moments = ledger.states, ledger.moments

    def at(
        place: Callable[[tally.Lives, NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]],
    ) -> NDArray[np.int64]:
        return place(traits.lives, market, ns)

    return [
        divider.by_entry(
            "spread", "trades by the spread just before their first fill; decisions by the spread they saw",
            tally.spread_of(ledger.spreads[entry]), tally.SPREADS, states.sum(axis=(0, 2, 3)), acts=acts,
        ),
        divider.by_entry(
            "price", "trades by what a contract cost on entry, YES or NO",
            np.searchsorted(PRICE_BOUNDS, paid, side="left").astype(np.int64), PRICE_BANDS,
        ),
        divider.by_entry(
            "phase", "trades by the quarter of their market's judged life in which they were entered",
            at(tally.phase_of), tally.PHASES, moments.sum(axis=(1, 2)), acts=acts,
        ),
        divider.by_entry(
            "end", "trades entered in the last five minutes of their market's recording, and before",
            at(tally.end_of), tally.ENDS, moments.sum(axis=(0, 2)), acts=acts,
        ),
        divider.by_entry(
            "pace", "trades entered in a burst: ten seconds with at least 5 changes and 3 times the market's mean",
            at(tally.pace_of), tally.PACES, moments.sum(axis=(0, 1)), acts=acts,
        ),
    ]  # fmt: skip


def _by_number(divider: _Divider, settings: EvaluationSettings) -> list[Breakdown]:
    """The first n markets of the seeded order, for every n below their number."""
    tickers = divider.ledger.tickers
    counts = sorted({count for count in settings.market_counts if 0 < count < len(tickers)})
    if not counts:
        return []
    order, groups = seeded_order(tickers, settings.seed), []
    for count in [*counts, len(tickers)]:
        markets = np.zeros(len(tickers), np.bool_)
        markets[order[:count]] = True
        groups.append(divider.subset(f"{count:,} markets", markets))
    words = f"the first n markets in the order drawn by seed {settings.seed}: each holds the ones before"
    return [Breakdown(by="number of markets", of="subsets", words=words, groups=tuple(groups))]
