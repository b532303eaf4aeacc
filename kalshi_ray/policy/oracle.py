"""The oracle of the `planted` regime: it knows the rule, not the future.

    signal    the resting size of one side is multiplied; the price will jump that way with odds theta, else the other
    value     of holding -L, 0 or L at a price, by value iteration over price x position x signal; in fill edge, pips

At a decision it reads the book that every policy sees, takes the signal from the sizes at the touch, and goes to the
position that is worth most, spread and taker fee of the way there paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.fees import TAKER_PPM, model_fee
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR
from kalshi_ray.errors import UsageError
from kalshi_ray.policy.protocol import PolicyState
from kalshi_ray.policy.taking import largest_step

PRICES = DOLLAR // CENT + 1  # 0 to 100 cents: the price axis of the value table
TARGETS = (-1, 0, 1)  # positions, in limits
SWEEPS = 400
ENOUGH = 1e-6  # pips: change of the values at which the iteration ends


class OracleRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the oracle knows of the regime."""

    theta: float = 0.9  # odds that a signal points the right way
    jump: int = 800  # pips by which the price jumps after a signal
    factor: int = 4  # of the resting size on the side of the signal
    limit: int = 50  # contracts, either way
    half_spread: float = 100.0  # pips from p to the quote
    lowest: int = 1_500  # pips: signals come strictly between
    highest: int = 8_500
    wander: float = 250.0  # pips by which p spreads between two signals, standard deviation
    signals_ahead: float = 20.0  # how many signals a market still has, on average

    @property
    def gain(self) -> float:
        """Pips by which a signal moves the expected price."""
        return (2.0 * self.theta - 1.0) * self.jump


def rule_of(origin: Mapping[str, Any]) -> OracleRule:
    """The rule of a session, from the `origin` of its manifest. UsageError unless it was planted."""
    settings = origin.get("settings", {})
    if origin.get("generator") != "synthetic" or settings.get("regime") != "planted":
        raise UsageError(
            f"the oracle knows sessions of the regime 'planted', not {settings.get('regime', 'recorded ones')!r}",
            remedy="Leave the oracle out, or evaluate on `kalshi-ray sessions synth --regime planted`",
        )
    tick = {"deci": 10, "finest": 1}.get(settings["grid"], CENT)
    return OracleRule(
        theta=settings["theta"],
        jump=settings["jump_cents"] * CENT,
        factor=settings["signal_factor"],
        limit=settings["position_limit"],
        half_spread=(settings["width_ticks"] or 2.0) / 2.0 * tick,
    )


def taker_fee(price: float, contracts: int = 50) -> float:
    """Taker fee in pips per contract of one order, today's rate."""
    pips = min(max(round(price), 0), DOLLAR)
    return float(model_fee(contracts * CONTRACT, pips, TAKER_PPM)) / (contracts * CONTRACT)


def expected_edge(rule: OracleRule, price: float) -> float:
    """Fill edge in pips per contract of taking with a signal when p is `price` pips: jump, half spread and fee."""
    return rule.gain - rule.half_spread - taker_fee(price + rule.half_spread, rule.limit)


class Oracle:
    """Goes to the best of -L, 0 and L as the value table says; holds where there is nothing to gain."""

    needs: Literal["actions", "quotes"] = "actions"

    def __init__(self, rule: OracleRule | None = None, *, name: str = "oracle") -> None:
        self.rule = rule or OracleRule()
        self.name = name

    @classmethod
    def of(cls, origin: Mapping[str, Any]) -> Oracle:
        """The oracle of a session, from the `origin` of its manifest."""
        return cls(rule_of(origin))

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """There is nothing to forget."""
        del views, seed

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """The largest legal order on the way to the wanted position, else HOLD, [B]."""
        wanted = self.targets(state.rows) - state.rows["account"]["position"]
        return largest_step(state, wanted)

    def targets(self, rows: NDArray[np.void]) -> NDArray[np.int64]:
        """The position that is worth most, in lots, [B]; what is held where a side of the book is missing."""
        limit = self.rule.limit * CONTRACT
        held = rows["account"]["position"].astype(np.int64)
        signal = self.signals(rows)
        two_sided = (rows["best_bid"] > 0) & (rows["best_ask"] > 0)
        middle = np.where(two_sided, (rows["best_bid"] + rows["best_ask"]) / 2, DOLLAR / 2)
        cost = np.maximum(rows["best_ask"] - middle, 0) + self._fees[self._cents(middle)]
        choices = np.stack([held, *(np.full(len(held), limit * target) for target in TARGETS)], axis=1)  # [B, 4]
        change = choices - held[:, None]
        worth = change * (signal * self.rule.gain)[:, None] - np.abs(change) * cost[:, None]
        ahead = np.clip(choices / limit, -1.0, 1.0)
        worth = worth + limit * self._ahead(self._cents(middle), signal, ahead)
        best = choices[np.arange(len(held)), np.argmax(worth, axis=1)]  # staying comes first: it wins a draw
        return np.where(two_sided, best, held)

    def signals(self, rows: NDArray[np.void]) -> NDArray[np.int64]:
        """The signal that the touch shows: +1, 0 or -1, [B]; none where a side is missing."""
        bid, ask = rows["bid_size"].astype(np.float64), rows["ask_size"].astype(np.float64)
        imbalance = (bid - ask) / np.maximum(bid + ask, 1.0)
        # A plain touch stays within a fifth; one with a signal stands around (f - 1) / (f + 1).
        threshold = 0.6 * (self.rule.factor - 1) / (self.rule.factor + 1)
        shown = (np.abs(imbalance) > threshold) & (bid > 0) & (ask > 0)
        return np.where(shown, np.sign(imbalance), 0).astype(np.int64)

    @cached_property
    def _fees(self) -> NDArray[np.float64]:
        """Taker fee by cents, pips per contract, [PRICES]."""
        return np.array([taker_fee(cents * CENT, self.rule.limit) for cents in range(PRICES)])

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Value without a signal by price and position, pips per contract of the limit, [PRICES, 3]."""
        return value_table(self.rule, self._fees)

    @staticmethod
    def _cents(pips: NDArray[Any]) -> NDArray[np.int64]:
        return np.clip(np.rint(pips / CENT), 0, PRICES - 1).astype(np.int64)

    def _ahead(
        self, cents: NDArray[np.int64], signal: NDArray[np.int64], position: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Value after the jump, if there is a signal, of positions in limits, [B, N]; linear between the targets."""
        jump = self.rule.jump // CENT
        odds = np.where(signal != 0, self.rule.theta, 1.0)
        right = self.values[np.clip(cents + signal * jump, 0, PRICES - 1)]  # [B, 3]
        wrong = self.values[np.clip(cents - signal * jump, 0, PRICES - 1)]
        mixed = odds[:, None] * right + (1.0 - odds)[:, None] * wrong
        outer = np.where(position > 0, mixed[:, 2:], mixed[:, :1])
        return np.asarray(mixed[:, 1:2] + np.abs(position) * (outer - mixed[:, 1:2]))


def value_table(rule: OracleRule, fees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Future fill edge per contract of the limit without a signal, by price in cents and position, [PRICES, 3].

    One stage is the time between two signals; after each the market goes on with odds 1 - 1 / `signals_ahead`.
    """
    cents = np.arange(PRICES)
    inside = (cents * CENT > rule.lowest) & (cents * CENT < rule.highest)
    spread = _wandering(rule)
    cost = rule.half_spread + fees
    positions = np.array(TARGETS, np.float64)
    change = positions[None, :] - positions[:, None]  # [from, to]
    jump = rule.jump // CENT
    up, down = np.clip(cents + jump, 0, PRICES - 1), np.clip(cents - jump, 0, PRICES - 1)
    go_on = 1.0 - 1.0 / rule.signals_ahead
    values = np.zeros((PRICES, len(TARGETS)))
    for _ in range(SWEEPS):
        with_signal = np.zeros_like(values)
        for signal, right, wrong in ((1, up, down), (-1, down, up)):
            after = rule.theta * values[right] + (1.0 - rule.theta) * values[wrong]  # [PRICES, to]
            worth = change * signal * rule.gain - np.abs(change) * cost[:, None, None] + after[:, None, :]
            with_signal += worth.max(axis=2) / 2
        held = go_on * spread @ np.where(inside[:, None], with_signal, values)
        found = (held[:, None, :] - np.abs(change) * cost[:, None, None]).max(axis=2)
        step = float(np.abs(found - values).max())
        values = found
        if step < ENOUGH:
            break
    return values


def _wandering(rule: OracleRule) -> NDArray[np.float64]:
    """Odds of the price at the next signal by the price now, both in cents, [PRICES, PRICES]; certainty stays."""
    cents = np.arange(PRICES)
    width = np.maximum(np.minimum(rule.wander / CENT, np.minimum(cents, PRICES - 1 - cents) / 2.0), 1e-3)
    odds = np.exp(-0.5 * ((cents[None, :] - cents[:, None]) / width[:, None]) ** 2)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
