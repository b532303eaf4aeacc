"""Settings of the environment: typed, frozen, refused when wrong. Everything a bundle must agree with is here."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.actions import ActionSpec, action_space
from kalshi_ray.core.features import ObservationSpec, observation
from kalshi_ray.core.fees import CLEARED_PRECISION, DIRECT_PRECISION
from kalshi_ray.core.rules import PPM, RULES, FillModel
from kalshi_ray.core.units import CONTRACT, MICROS_PER_CENT, MICROS_PER_DOLLAR, MILLISECOND, SECOND
from kalshi_ray.env.records import REWARD
from kalshi_ray.errors import ConfigError

FillModelName = Literal["pessimistic", "fitted", "optimistic"]
RewardName = Literal["pure", "fee-0.01", "fee-0.1-hold"]
RewardUnit = Literal["cents", "dollars", "scaled", "spread"]

# What one micro is worth in each unit. `scaled` is a thousandth of a cent-reward, as in the documents; `spread` counts
# in round trips of 20 contracts across a spread of 2.5 cents, which brings rewards near one.
PER_MICRO: dict[str, float] = {"cents": 1e-4, "dollars": 1e-6, "scaled": 1e-7, "spread": 2e-6}

# Shaping terms beside the change of equity: (share of the paid spread charged again, bonus for HOLD).
REWARDS: dict[str, tuple[float, float]] = {"pure": (0.0, 0.0), "fee-0.01": (0.01, 0.0), "fee-0.1-hold": (0.1, 0.0001)}


class EnvSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the environment and live trading do. Defaults are those of the market rules."""

    # Named action space: pricing and time in force belong to the name.
    action_space: str = "sized21"
    # Named observation layout.
    observation: str = "obs54"
    # Shortest time between two decisions of a market, ms.
    decision_ms: float = 250.0
    # Wait after the first undecided change of the book, ms.
    burst_ms: float = 5.0
    # Latency of an update to us, ms; used where the exchange time of a recording is unknown.
    feed_ms: float = 50.0
    # Latency of a command to the exchange, ms.
    entry_ms: float = 100.0
    # Latency of an answer to us, ms.
    response_ms: float = 100.0
    # Entry and response are drawn evenly within this share around their value; 0: constant.
    latency_spread: float = 0.0
    # Lifetime of a resting order, s; sent to the exchange as its expiration.
    order_lifetime_s: float = 30.0
    # Position limit of a market, contracts, either way.
    position_limit: float = 500.0
    # Cash that a row starts an episode with, cents.
    bankroll_cents: int = 10_000
    # Commands per second that grow back, and how many may go at once.
    budget_per_s: float = 1.0
    budget_burst: int = 4
    # How cancels move our place in a queue.
    fill_model: FillModelName = "pessimistic"
    # Fees are rounded to $0.0001 for direct members, to a cent for accounts cleared by another firm.
    member: Literal["direct", "cleared"] = "direct"
    # Preset of shaping terms beside the change of equity.
    reward: RewardName = "pure"
    # Unit of the reward.
    reward_unit: RewardUnit = "dollars"
    # Longest episode, decisions; 0: the whole view.
    max_decisions: int = 0
    # Where an episode starts: at the view's first update, or anywhere in it.
    start: Literal["whole", "random"] = "random"
    # A BUY of the other side while holding is the same order as a SELL: masked.
    mask_opposite_buy: bool = True
    # HOLD is masked after this many in a row while something else is legal; 0: never.
    mask_repeated_hold: int = 0

    def __post_init__(self) -> None:
        for name in ("decision_ms", "position_limit", "bankroll_cents", "budget_per_s", "budget_burst"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"env.{name} must be above 0, got {getattr(self, name)}")
        for name in ("burst_ms", "feed_ms", "entry_ms", "response_ms", "max_decisions", "mask_repeated_hold"):
            if getattr(self, name) < 0:
                raise ConfigError(f"env.{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.latency_spread < 1:
            raise ConfigError(f"env.latency_spread is a share from 0 to below 1, got {self.latency_spread}")
        if self.order_lifetime_s < 1:
            raise ConfigError(f"env.order_lifetime_s must be at least 1 s, got {self.order_lifetime_s}")

    @property
    def actions(self) -> ActionSpec:
        """The action space by name."""
        return action_space(self.action_space)

    @property
    def layout(self) -> ObservationSpec:
        """The observation layout by name."""
        return observation(self.observation)

    def rules(self) -> NDArray[np.void]:
        """These settings as the kernels' RULES record, shape [1]."""
        rules = np.zeros(1, RULES)
        rules["bankroll"] = self.bankroll_cents * MICROS_PER_CENT
        rules["position_limit"] = round(self.position_limit * CONTRACT)
        rules["fee_precision"] = DIRECT_PRECISION if self.member == "direct" else CLEARED_PRECISION
        for name in ("decision", "burst", "feed", "entry", "response"):
            rules[f"{name}_ns"] = round(getattr(self, f"{name}_ms") * MILLISECOND)
        rules["lifetime_ns"] = round(self.order_lifetime_s * SECOND)
        rules["budget_interval_ns"] = round(SECOND / self.budget_per_s)
        rules["budget_burst"] = self.budget_burst
        rules["latency_spread_ppm"] = round(self.latency_spread * PPM)
        rules["fill_model"] = FillModel[self.fill_model.upper()]
        rules["cost_share_ppm"] = PPM
        rules["max_decisions"] = self.max_decisions
        rules["mask_opposite_buy"] = self.mask_opposite_buy
        rules["mask_repeated_hold"] = self.mask_repeated_hold
        return rules

    def reward_rules(self) -> NDArray[np.void]:
        """The reward as the kernels' REWARD record, shape [1]."""
        penalty, bonus = REWARDS[self.reward]
        return np.array([(PER_MICRO[self.reward_unit], penalty, bonus)], REWARD)

    @property
    def bankroll_dollars(self) -> float:
        """Cash that a row starts with, in dollars."""
        return self.bankroll_cents * MICROS_PER_CENT / MICROS_PER_DOLLAR
