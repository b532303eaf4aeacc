"""From a `Tally` to figures: flat numbers by name for one iteration, and the table of its actions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.units import CONTRACT, MICROS_PER_DOLLAR
from kalshi_ray.train.tally import Tally

HOLD = 0

# Name here: (field of the sums over episodes, what one of its units is worth), given as mean per episode.
EPISODE = {
    "episode_return": ("reward_sum", 1.0),  # in the reward's unit
    "episode_steps": ("steps", 1.0),
    "episode_fills": ("fills", 1.0),
    "episode_maker_fills": ("maker_fills", 1.0),
    "episode_contracts": ("traded", 1.0 / CONTRACT),
    "episode_orders": ("orders_sent", 1.0),
    "episode_refused": ("refused", 1.0),
    "episode_fees": ("fees", 1.0 / MICROS_PER_DOLLAR),
    "episode_spread": ("spread_cost", 1.0 / MICROS_PER_DOLLAR),
    "episode_refund": ("refund", 1.0 / MICROS_PER_DOLLAR),
    "episode_drawdown": ("max_drawdown", 1.0 / MICROS_PER_DOLLAR),
    "episode_settled": ("terminated", 1.0),
}


def entropy(shares: NDArray[np.float64]) -> float:
    """Nats of a distribution; zero shares count nothing."""
    used = shares[shares > 0.0]
    return float(-(used * np.log(used)).sum())


def shares_of(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Counts over their sum; zeros where there is nothing."""
    total = float(counts.sum())
    return counts / total if total > 0.0 else np.zeros(len(counts))


def figures(tally: Tally) -> dict[str, float]:
    """Every figure that a runner's counts give, never NaN; means over nothing are 0."""
    line = _decisions(tally) | _rewards(tally)
    if tally.knows_markets:
        line |= _trading(tally) | _accounts(tally)
    return {name: round(float(value), 6) for name, value in line.items()}


def episode_figures(tally: Tally) -> dict[str, float]:
    """Means over the episodes that ended; nothing where none did."""
    if not tally.episodes:
        return {}
    return {name: round(tally.episode[key] * worth / tally.episodes, 6) for name, (key, worth) in EPISODE.items()}


def _decisions(tally: Tally) -> dict[str, float]:
    sums, by_action = tally.sums[0], tally.by_action
    choices = max(int(sums["choices"]), 1)
    shares, random = shares_of(by_action["choices"]), shares_of(by_action["random"])
    acting = shares_of(by_action["choices"][HOLD + 1 :])
    chance = float(sums["random_entropy"]) / choices
    drawn = float(sums["surprise"]) / choices
    full = np.flatnonzero(by_action["sent"])
    return {
        "choice_share": sums["choices"] / max(int(sums["steps"]), 1),
        "hold_share": sums["holds"] / choices,
        "random_hold_share": sums["random_holds"] / choices,
        "choice_entropy": drawn,
        "random_entropy": chance,
        "exploration_ratio": drawn / chance if chance > 0.0 else 0.0,
        "action_entropy": entropy(shares),
        "random_action_entropy": entropy(random),
        "actions_used": np.count_nonzero(by_action["choices"]),
        "distinct_orders": len(full) + len(tally.odd),
        "top_action": HOLD + 1 + int(acting.argmax()) if acting.any() else HOLD,
        "top_action_share": acting.max(initial=0.0),
        "episodes": tally.episodes,
        "cost_share": tally.cost_share,
    }


def _rewards(tally: Tally) -> dict[str, float]:
    sums = tally.sums[0]
    steps = max(int(sums["steps"]), 1)
    mean = sums["reward"] / steps
    return {
        "reward_per_1000": 1_000.0 * mean,
        "reward_deviation": max(0.0, sums["reward_square"] / steps - mean * mean) ** 0.5,
        "zero_reward_share": sums["zero_rewards"] / steps,
        **{f"reward_{name}_per_1000": 1_000.0 * value / steps for name, value in tally.rewards.items()},
    }


def _trading(tally: Tally) -> dict[str, float]:
    sums, ledger = tally.sums[0], tally.ledger
    steps = max(int(sums["steps"]), 1)
    each = {name: 1_000.0 * value / steps for name, value in ledger.items()}
    entries = max(tally.observed * len(tally.features), 1)
    return {
        "fills_per_1000": each["fills"],
        "orders_per_1000": each["sent"],
        "rejected_per_1000": each["rejected"],
        "contracts_per_1000": each["traded"] / CONTRACT,
        "fees_per_1000": each["fees"] / MICROS_PER_DOLLAR,
        "maker_share": ledger["maker_fills"] / max(ledger["fills"], 1.0),
        # An order may fill in the iteration after the one that sent it.
        "fill_rate": min(1.0, ledger["filled_orders"] / max(ledger["sent"], 1.0)),
        "position_mean": sums["positions"] / steps / CONTRACT,
        "flat_share": sums["flat"] / steps,
        "clipped_share": ledger["clipped"] / entries,
    }


def _accounts(tally: Tally) -> dict[str, float]:
    equity, drawdown = (tally.accounts[name] / MICROS_PER_DOLLAR for name in ("equity", "drawdown"))
    return {
        "equity_min": equity.min(),
        "equity_mean": equity.mean(),
        "equity_max": equity.max(),
        "drawdown_mean": drawdown.mean(),
        "drawdown_max": drawdown.max(),
    }


def portfolio_line(tally: Tally) -> dict[str, float]:
    """The accounts of all rows at the end of an iteration: dollars, and contracts of YES."""
    line: dict[str, float] = {"rows": len(tally.accounts["equity"])}
    for name, worth in (("equity", MICROS_PER_DOLLAR), ("cash", MICROS_PER_DOLLAR), ("position", CONTRACT)):
        values = tally.accounts[name] / worth
        found = {"min": values.min(), "mean": values.mean(), "max": values.max()}
        line |= {f"{name}_{word}": round(float(value), 4) for word, value in found.items()}
    line["flat_share"] = round(float((tally.accounts["position"] == 0).mean()), 4)
    return line


def action_line(tally: Tally) -> dict[str, Any]:
    """Counts by id beside a random policy's, the mean reward of each, and by [spread][liquidity] bin
    [decisions with a choice, holds, orders]."""
    by, bins = tally.by_action, tally.by_bin
    line: dict[str, Any] = {
        "choices": by["choices"].tolist(),
        "random": np.round(by["random"], 1).tolist(),
        "reward": [float(f"{value:.4g}") for value in by["reward"] / np.maximum(by["steps"], 1)],
    }
    if tally.knows_markets:
        line["bins"] = [[[int(c["choices"]), int(c["holds"]), int(c["orders"])] for c in row] for row in bins]
    return line
