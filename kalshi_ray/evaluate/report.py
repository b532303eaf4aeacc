"""The report of an evaluation as data: everything that is printed or drawn comes from here, and JSON is all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec
import numpy as np

from kalshi_ray.core.actions import ActionSpec
from kalshi_ray.core.units import MICROS_PER_DOLLAR
from kalshi_ray.evaluate.breakdown import Breakdown, Consistency
from kalshi_ray.evaluate.families import Family
from kalshi_ray.evaluate.gates import Gate, pessimistic
from kalshi_ray.evaluate.intervals import Interval
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.markouts import Markout
from kalshi_ray.evaluate.metrics import Figures
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.tally import IMBALANCES, INTENTS, POSITIONS, PRICES, SPREADS

NOT_MODELLED = (
    "Market impact beyond the size we take: nobody reacts to our orders, and a level that empties comes back whole.",
    "Our place in the queue: it is inferred from prints and, by fill model, from cancels; the exchange knows better.",
    "Incentive programmes, interest on balances and positions, and fee rebates beyond rounding.",
    "Exchange outages, rejected orders for reasons outside the order book, and rate limits beyond the command budget.",
    "Latency is constant or drawn from a table; it does not grow with the market's activity.",
    "One bankroll a market: what one market wins or loses does not change the size of orders in another.",
)

Role = Literal["judged", "baseline", "oracle", "control"]


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What the policies were judged on."""

    session: str
    checksum: str
    selection: str  # how the markets were chosen, in words
    events: int
    markets: int
    days: int
    updates: int
    depth: str
    sizes: str
    has_trades: bool
    synthetic: bool
    flags: tuple[str, ...]  # what the recording cannot say, and what to be careful about
    dropped_markets: int = 0  # by the causal selection
    filtered_markets: int = 0  # of the judged ones, what the training filter would have dropped
    tickers: tuple[str, ...] = ()  # of the judged markets, sorted: a promotion asks that training saw none of them


class EventResult(msgspec.Struct, frozen=True, kw_only=True):
    """Net of one event."""

    event: str
    markets: int
    fills: int
    net_dollars: float


class ActionShare(msgspec.Struct, frozen=True, kw_only=True):
    """How often an action was chosen, of all decisions."""

    id: int
    words: str
    share: float


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Equity of the account less its bankrolls over time; the last point is after closing."""

    ns: tuple[int, ...]
    dollars: tuple[float, ...]


class Heat(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions counted by state: which intent at which position and where."""

    by: str  # what the columns are: price, imbalance, spread
    columns: tuple[str, ...]
    rows: tuple[str, ...]  # short, flat, long
    intents: tuple[str, ...]  # none, buys, sells, both; on the YES axis
    counts: tuple[tuple[tuple[int, ...], ...], ...]  # [row][column][intent]


class Stressed(msgspec.Struct, frozen=True, kw_only=True):
    """A judged policy under one scenario of the stress suite; dollars but for `net_cents`, which is by contract."""

    scenario: str
    fill_model: str
    net: float
    change: float  # against the same fill model without stress
    net_per_market: Interval
    net_cents: float | None
    fees: float
    fills: int
    contracts: float
    return_on_peak: float | None
    drawdown_on_peak: float | None


class TestSetUse(msgspec.Struct, frozen=True, kw_only=True):
    """How often these test markets had been used to judge bundles before this report."""

    __test__ = False  # no test of pytest's

    before: int
    models: int  # different ones, those of this report not counted


class PolicyReport(msgspec.Struct, frozen=True, kw_only=True):
    """One policy under every fill model it ran with."""

    name: str
    role: Role
    decides: str  # actions or quotes, greedy or sampled
    family: str = ""  # bundles of one recipe, their seeds apart
    seed: int | None = None
    home: bool = False  # it was trained on a part of this session
    not_measurable: str = ""  # why there are no figures
    by_model: tuple[Figures, ...] = ()
    gates: tuple[Gate, ...] = ()  # of judged policies
    markouts: tuple[Markout, ...] = ()  # the rest is under the fill model with the lowest net
    actions: tuple[ActionShare, ...] = ()
    heats: tuple[Heat, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    consistency: Consistency | None = None  # of judged policies
    stress: tuple[Stressed, ...] = ()
    events: tuple[EventResult, ...] = ()
    curve: Curve = Curve(ns=(), dollars=())
    filtered_net_dollars: float | None = None  # net in the markets that the training filter would have dropped
    remarks: tuple[str, ...] = ()

    @property
    def figures(self) -> Figures:
        """Under the fill model with the lowest net: the pessimistic edge."""
        return pessimistic(self.by_model)


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Policies side by side on the same markets, in the same environment."""

    data: Data
    policies: tuple[PolicyReport, ...]
    settings: EvaluationSettings
    environment: dict[str, Any]  # EnvSettings as plain values
    action_space: str
    action_fingerprint: str
    observation: str
    observation_fingerprint: str
    families: tuple[Family, ...] = ()
    test_use: TestSetUse | None = None  # of a test part on which a bundle was judged
    not_modelled: tuple[str, ...] = NOT_MODELLED

    @property
    def judged(self) -> tuple[PolicyReport, ...]:
        """The policies that the gates speak about."""
        return tuple(policy for policy in self.policies if policy.role == "judged")

    @property
    def gates_open(self) -> bool:
        """Whether every judged policy passed both gates; false without one."""
        gates = [gate for policy in self.judged for gate in policy.gates]
        return bool(gates) and all(gate.is_open for gate in gates)


def to_json(report: EvaluationReport) -> bytes:
    """The whole report as JSON; verdicts that are computed stand beside their checks."""
    plain = msgspec.to_builtins(report)
    plain["gates_open"] = report.gates_open
    for policy, written in zip(report.policies, plain["policies"], strict=True):
        for gate, verdict in zip(policy.gates, written["gates"], strict=True):
            verdict["open"] = gate.is_open
    return msgspec.json.format(msgspec.json.encode(plain), indent=2)


def from_json(text: bytes) -> EvaluationReport:
    """The report that `to_json` wrote."""
    return msgspec.json.decode(text, type=EvaluationReport)


def curve_of(ledger: Ledger, *, points: int = 400) -> Curve:
    """The account's curve, thinned to `points` without losing a stretch's lowest value."""
    curve, count = ledger.closed_curve, len(ledger.curve)
    if count <= points:
        kept = np.arange(count)
    else:
        edges = np.linspace(0, count, points // 2 + 1).astype(int)
        lowest = [start + int(curve[start:stop].argmin()) for start, stop in pairwise(edges)]
        kept = np.unique(np.r_[0, lowest, edges[1:] - 1])
    return Curve(
        ns=tuple(ledger.curve_ns[kept].tolist()), dollars=tuple((curve[kept] / MICROS_PER_DOLLAR).round(4).tolist())
    )


def events_of(ledger: Ledger, names: Sequence[str]) -> tuple[EventResult, ...]:
    """Net by event, best first; `names` by the ledger's event numbers."""
    fills = np.bincount(ledger.fill_market, minlength=len(ledger.tickers))
    net = ledger.closed_pnl / MICROS_PER_DOLLAR
    found = [
        EventResult(
            event=names[event],
            markets=int((ledger.events == event).sum()),
            fills=int(fills[ledger.events == event].sum()),
            net_dollars=float(net[ledger.events == event].sum()),
        )
        for event in np.unique(ledger.events)
    ]
    return tuple(sorted(found, key=lambda result: -result.net_dollars))


def heats_of(ledger: Ledger) -> tuple[Heat, ...]:
    """Decisions by position and, in turn, price, imbalance and spread."""
    sums = {
        "price": (PRICES, ledger.states.sum(axis=(1, 2))),
        "imbalance": (IMBALANCES, ledger.states.sum(axis=(0, 1))),
        "spread": (SPREADS, ledger.states.sum(axis=(0, 2))),
    }
    return tuple(
        Heat(
            by=by,
            columns=columns,
            rows=POSITIONS,
            intents=INTENTS,
            counts=tuple(tuple(tuple(cell) for cell in row) for row in found.transpose(1, 0, 2).tolist()),
        )
        for by, (columns, found) in sums.items()
    )


def actions_of(ledger: Ledger, spec: ActionSpec) -> tuple[ActionShare, ...]:
    """Shares of all decisions by action id; empty for policies that quote."""
    total = int(ledger.actions.sum())
    if not total:
        return ()
    return tuple(
        ActionShare(id=action, words=action_words(spec.describe(action)), share=float(ledger.actions[action]) / total)
        for action in range(spec.size)
    )


def action_words(described: Mapping[str, str | int | float]) -> str:
    """`BUY_YES 10 take` for a row of an action table."""
    if described["intent"] == "HOLD":
        return "HOLD"
    return f"{described['intent']} {described['contracts']:g} {str(described['pricing']).lower()}"
