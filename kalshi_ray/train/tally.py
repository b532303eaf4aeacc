"""A `Tally`: everything that a runner counted in one iteration, in sums that add up over runners and iterations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.errors import DataError
from kalshi_ray.train.counting import ACTION_SUMS, BIN_SUMS, SUMS
from kalshi_ray.train.lines import SPREADS, TOUCHES

SUMMED = (
    "reward_sum", "steps", "fills", "maker_fills", "traded", "fees", "refund", "spread_cost", "orders_sent",
    "orders_filled", "refused", "clipped", "max_drawdown", "terminated",
)  # fmt: skip
"""Fields of an EPISODE record that are summed over the episodes of an iteration."""

ACCOUNTS = ("equity", "cash", "position", "drawdown")
"""What is kept of every row at the end of an iteration, in micros and lots."""

FEATURE_SUMS = np.dtype(
    [
        ("least", np.float64),
        ("largest", np.float64),
        ("total", np.float64),
        ("square", np.float64),
        ("cut", np.int64),  # raw values outside the range that the policy sees
    ]
)


def _no_orders() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass
class Tally:
    """Sums of one iteration. Where `knows_markets` is false the rows were no market rows and kept no ledger."""

    sums: NDArray[np.void]  # [1] SUMS
    by_action: NDArray[np.void]  # [A] ACTION_SUMS
    by_bin: NDArray[np.void]  # [spreads, touches] BIN_SUMS
    features: NDArray[np.void]  # [F] FEATURE_SUMS
    knows_markets: bool
    observed: int = 0  # observations behind `features`
    looked: int = 0  # observations whose raw values were compared with their range
    odd: NDArray[np.int64] = field(default_factory=_no_orders)  # [N] distinct orders cut to what is held: see counting
    ledger: dict[str, float] = field(default_factory=dict)  # changes over the iteration
    rewards: dict[str, float] = field(default_factory=dict)  # by component, in the reward's unit
    accounts: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # [B] at the end
    episode: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0.0))
    episodes: int = 0
    cost_share: float = 1.0
    failures: list[DataError] = field(default_factory=list)  # of remote runners, which cannot raise them

    @classmethod
    def empty(cls, actions: int, features: int, *, knows_markets: bool) -> Tally:
        """Nothing counted yet."""
        found = np.zeros(features, FEATURE_SUMS)
        found["least"], found["largest"] = np.inf, -np.inf
        bins = np.zeros((len(SPREADS) + 1, len(TOUCHES) + 1), BIN_SUMS)
        return cls(np.zeros(1, SUMS), np.zeros(actions, ACTION_SUMS), bins, found, knows_markets)

    def add(self, other: Tally) -> None:
        """Add what a later iteration has counted; its accounts take the place of these."""
        for mine, theirs in ((self.sums, other.sums), (self.by_action, other.by_action), (self.by_bin, other.by_bin)):
            for name in mine.dtype.names or ():
                mine[name] += theirs[name]
        self.add_features(other.features)
        self.observed += other.observed
        self.looked += other.looked
        if len(other.odd):
            self.odd = np.unique(np.concatenate([self.odd, other.odd]))
        add_to(self.ledger, other.ledger)
        add_to(self.rewards, other.rewards)
        add_to(self.episode, other.episode)
        self.accounts = other.accounts
        self.episodes += other.episodes
        self.cost_share = other.cost_share
        self.failures += other.failures

    def add_features(self, found: NDArray[np.void]) -> None:
        """Add FEATURE_SUMS of more observations."""
        mine = self.features
        mine["least"] = np.minimum(mine["least"], found["least"])
        mine["largest"] = np.maximum(mine["largest"], found["largest"])
        for name in ("total", "square", "cut"):
            mine[name] += found[name]


def add_to(sums: dict[str, float], more: dict[str, float]) -> None:
    """Add by name."""
    for name, value in more.items():
        sums[name] = sums.get(name, 0.0) + value


def joined(tallies: list[Tally]) -> Tally:
    """The tallies of several runners as one, with the accounts of all their rows side by side."""
    first = tallies[0]
    whole = Tally.empty(len(first.by_action), len(first.features), knows_markets=first.knows_markets)
    for tally in tallies:
        whole.add(tally)
    names = first.accounts.keys()
    whole.accounts = {name: np.concatenate([tally.accounts[name] for tally in tallies]) for name in names}
    return whole
