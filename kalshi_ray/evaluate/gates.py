"""The two gates of promotion as data: every check with its number, its bound and its reason.

Both are judged on the pessimistic edge: the fill model with the lowest net P&L of those that were run. Thin or poor
data closes a gate whatever the numbers say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from kalshi_ray.evaluate.intervals import MIN_STRONG, Interval
from kalshi_ray.evaluate.metrics import Figures

Unit = Literal["number", "share", "dollars"]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one gate; None: not asked for."""

    win_rate: float  # per trade, above
    drawdown: float  # on peak capital in use, below
    sharpe: float | None = None  # above
    markets_won: float | None = None  # of those traded, at least


VIABLE = Bounds(win_rate=0.45, drawdown=0.20)
PRODUCTION = Bounds(win_rate=0.52, drawdown=0.15, sharpe=1.0, markets_won=0.70)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a gate."""

    name: str
    passed: bool
    bound: str
    reason: str  # what to say where it failed
    value: float | None = None  # None: not computable or no number
    unit: Unit = "number"


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict: open only if every check passed."""

    name: Literal["viable", "production"]
    fill_model: str  # the one it was judged on
    checks: tuple[Check, ...]

    @property
    def is_open(self) -> bool:
        """Whether a bundle may pass."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """Why it is closed; empty when it is open."""
        return [check.reason for check in self.checks if not check.passed]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the data can show, whatever the policy did."""

    depth: str  # full | best
    band_complete: bool  # all three fill models were run, or the policy's orders never rest
    trained_on: int = 0  # judged events that the policy was trained on


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What a negative control of the judged policy earned before costs, under the fill model where it earned most."""

    name: str
    gross_per_market: Interval  # dollars to mid


KEPT_SHARE = 0.5
"""A control has lost the edge when it earns less than this share of it to mid, its interval not lying above zero."""


def pessimistic(by_model: Sequence[Figures]) -> Figures:
    """The figures with the lowest net P&L."""
    return min(by_model, key=lambda figures: figures.money.net)


def judge(
    by_model: Sequence[Figures],
    baselines: Mapping[str, float],
    evidence: Evidence,
    controls: Sequence[Control] = (),
) -> tuple[Gate, Gate]:
    """The viable and the production gate; `baselines` are pessimistic net dollars by name, without the oracle."""
    figures = pessimistic(by_model)
    common = (*_data_checks(figures, evidence), _profit(figures), _interval(figures))
    viable = (*common, *_bounds(figures, VIABLE))
    production = (
        *common,
        *_bounds(figures, PRODUCTION),
        _beats_baselines(figures, baselines),
        _controls_lose(figures, controls),
    )
    return (
        Gate(name="viable", fill_model=figures.fill_model, checks=viable),
        Gate(name="production", fill_model=figures.fill_model, checks=production),
    )


def _bounds(figures: Figures, bounds: Bounds) -> tuple[Check, ...]:
    found = [
        _above("win rate per trade", figures.rates.win_rate, bounds.win_rate, unit="share"),
        _below("drawdown on peak capital", figures.capital.drawdown_on_peak, bounds.drawdown),
    ]
    if bounds.sharpe is not None:
        found.append(_above("Sharpe", figures.capital.sharpe, bounds.sharpe, without=figures.capital.sharpe_remark))
    if bounds.markets_won is not None:
        share = figures.rates.episode_win_rate
        found.append(_at_least("profitable share of markets traded", share, bounds.markets_won))
    return tuple(found)


def _data_checks(figures: Figures, evidence: Evidence) -> tuple[Check, ...]:
    counts = figures.counts
    return (
        Check(
            name="full depth",
            passed=evidence.depth == "full",
            bound="depth: full",
            reason=f"depth: {evidence.depth}: best-quote data alone opens no gate",
        ),
        Check(
            name="fill models",
            passed=evidence.band_complete,
            bound="pessimistic, fitted and optimistic",
            reason="the orders can rest, so all three fill models are needed: run with fill_models = band",
        ),
        Check(
            name="events it was trained on",
            passed=evidence.trained_on == 0,
            value=evidence.trained_on,
            bound="0",
            reason=f"{evidence.trained_on} of the judged events were trained on: that shows memory, not skill",
        ),
        Check(
            name="events",
            passed=counts.events >= MIN_STRONG,
            value=counts.events,
            bound=f"at least {MIN_STRONG}",
            reason=figures.net_per_market.remark,
        ),
        Check(
            name="trades",
            passed=counts.trades > 0,
            value=counts.trades,
            bound="at least 1",
            reason="no trade: there is nothing to judge",
        ),
    )


def _profit(figures: Figures) -> Check:
    return _above("return on peak capital", figures.capital.return_on_peak, 0.0, unit="share")


def _interval(figures: Figures) -> Check:
    interval = figures.net_per_market
    name = f"lower end of the {interval.level:.0%} interval of net a market"
    return _above(name, interval.low, 0.0, unit="dollars", without=interval.remark)


def _beats_baselines(figures: Figures, baselines: Mapping[str, float]) -> Check:
    if not baselines:
        return Check(name="better than every baseline", passed=False, bound="at least one", reason="no baseline ran")
    best = max(baselines, key=lambda name: baselines[name])
    return Check(
        name="better than every baseline",
        passed=figures.money.net > baselines[best],
        value=figures.money.net,
        unit="dollars",
        bound=f"above {in_words(baselines[best], 'dollars')} ({best})",
        reason=f"net {in_words(figures.money.net, 'dollars')} is not above {best} with "
        f"{in_words(baselines[best], 'dollars')}",
    )


def _controls_lose(figures: Figures, controls: Sequence[Control]) -> Check:
    name, bound = "negative controls lose the gross edge", f"below {KEPT_SHARE:.0%} of it, and not shown above $0"
    if not controls:
        return Check(name=name, passed=False, bound=bound, reason="no negative control ran")
    own = figures.gross_per_market.mean
    best = max(controls, key=lambda one: one.gross_per_market.mean)
    keeping = [one for one in controls if keeps_edge(one.gross_per_market, own)]
    return Check(
        name=name,
        passed=not keeping,
        value=best.gross_per_market.mean,
        unit="dollars",
        bound=bound,
        reason=f"{' and '.join(one.name for one in keeping)} still earns to mid: "
        f"{in_words(best.gross_per_market.mean, 'dollars')} a market beside {in_words(own, 'dollars')}",
    )


def keeps_edge(control: Interval, own: float) -> bool:
    """Whether a control that earns `control` a market to mid still has the edge of a policy that earns `own`."""
    shown = control.low is not None and control.low > 0.0
    return control.mean > 0.0 and (shown or control.mean >= KEPT_SHARE * own)


def _above(name: str, value: float | None, bound: float, *, unit: Unit = "number", without: str = "") -> Check:
    return _check(name, value, value is not None and value > bound, f"above {in_words(bound, unit)}", unit, without)


def _at_least(name: str, value: float | None, bound: float) -> Check:
    return _check(
        name, value, value is not None and value >= bound, f"at least {in_words(bound, 'share')}", "share", ""
    )


def _below(name: str, value: float | None, bound: float) -> Check:
    return _check(name, value, value is not None and value < bound, f"below {in_words(bound, 'share')}", "share", "")


def _check(name: str, value: float | None, passed: bool, bound: str, unit: Unit, without: str) -> Check:
    if value is None:
        return Check(name=name, passed=False, bound=bound, unit=unit, reason=f"{name}: {without or 'not computable'}")
    reason = f"{name} is {in_words(value, unit)}, expected {bound}"
    return Check(name=name, passed=passed, value=value, bound=bound, unit=unit, reason=reason)


def described() -> list[tuple[str, str, str]]:
    """What each gate asks for: (check, viable, production)."""
    both = [
        ("data", "full depth; best quotes alone open no gate"),
        ("fill models", "all three, for orders that can rest"),
        ("judged events that it was trained on", "none"),
        ("events", f"at least {MIN_STRONG}"),
        ("trades", "at least 1"),
        ("return on peak capital in use", "above 0 %"),
        ("interval of net a market", "whole above $0"),
    ]
    return [
        *((name, asked, asked) for name, asked in both),
        (
            "win rate per trade",
            f"above {in_words(VIABLE.win_rate, 'share')}",
            f"above {in_words(PRODUCTION.win_rate, 'share')}",
        ),
        (
            "drawdown on peak capital in use",
            f"below {in_words(VIABLE.drawdown, 'share')}",
            f"below {in_words(PRODUCTION.drawdown, 'share')}",
        ),
        ("Sharpe", "", f"above {PRODUCTION.sharpe:g}"),
        ("profitable share of markets traded", "", f"at least {in_words(PRODUCTION.markets_won, 'share')}"),
        ("net", "", "above every baseline's"),
        ("negative controls", "", f"gross to mid below {KEPT_SHARE:.0%} of the policy's, not shown above $0"),
    ]


def in_words(value: float | None, unit: Unit) -> str:
    """A value of a check as people write it."""
    if value is None:
        return ""
    if unit == "share":
        return f"{value * 100:,.3g} %" if abs(value) < 10 else f"{value * 100:,.0f} %"
    if unit == "dollars":
        return f"{'-' if value < 0 else ''}${abs(value):,.2f}"
    return f"{value:,.4g}"
