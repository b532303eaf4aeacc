"""Names in a run's folder: files of diagnostics, bins, and the unit of every figure. Imports next to nothing."""

from __future__ import annotations

ACTIONS, PORTFOLIO, HEALTH, TENSORBOARD = "actions.jsonl", "portfolio.jsonl", "health.json", "tensorboard"

SPREADS = (1, 5, 10, 20)  # cents: the upper ends of all spread bins but the last
TOUCHES = (100, 1_000, 5_000)  # contracts at the touch, both sides: the upper ends of all liquidity bins but the last
SPREAD_NAMES = ("below 1¢", "1–5¢", "5–10¢", "10–20¢", "20¢ and more")
TOUCH_NAMES = ("below 100", "100–1,000", "1,000–5,000", "5,000 and more")

HEAVILY_CLIPPED = 0.05
"""Share of raw values beyond the range of a feature from which on it is reported."""

PER_1000 = "in 1,000 decisions"
REWARD_PER_1000 = f"of the reward's unit, {PER_1000}"
OF_CHOICES = "of the decisions with a choice"

UNITS = {  # of figures that are no plain numbers or shares
    "seconds": "s",
    "steps_per_s": "decisions/s, learning included",
    "choices": "decisions with a choice since the process began",
    "choice_share": "of the decisions",
    "hold_share": OF_CHOICES,
    "random_hold_share": f"{OF_CHOICES}, acting at random",
    "choice_entropy": f"nats, mean {OF_CHOICES}",
    "random_entropy": f"nats, mean {OF_CHOICES}, acting at random",
    "exploration_ratio": "of the entropy of acting at random",
    "action_entropy": "nats, of the shares of the ids",
    "random_action_entropy": "nats, of the shares of the ids, acting at random",
    "actions_used": "ids",
    "distinct_orders": "different intents, sizes and prices",
    "top_action": "id",
    "top_action_share": "of the choices that did not hold",
    "zero_reward_share": "of the decisions",
    "reward_deviation": "of the reward's unit, of one decision",
    **dict.fromkeys(
        ("reward_per_1000", "reward_equity_per_1000", "reward_refund_per_1000", "reward_shaping_per_1000"),
        REWARD_PER_1000,
    ),
    **dict.fromkeys(("fills_per_1000", "orders_per_1000", "rejected_per_1000"), PER_1000),
    "contracts_per_1000": f"contracts, {PER_1000}",
    "fees_per_1000": f"$, {PER_1000}",
    "maker_share": "of the fills",
    "fill_rate": "of the orders sent",
    "position_mean": "contracts, either way",
    "flat_share": "of the decisions",
    "clipped_share": "of the entries of all observations",
    "constant_features": "features",
    "clipped_features": "features",
    "cost_share": "of spread and fees that is charged",
    "episode_return": "of the reward's unit",
    "episode_contracts": "contracts",
    "entropy": "nats, over all decisions",
    "kl": "nats",
    "clip_fraction": "of the last pass's ratios",
    "explained_variance": "of the returns' variance",
    **dict.fromkeys(("equity_min", "equity_mean", "equity_max", "drawdown_mean", "drawdown_max"), "$"),
    **dict.fromkeys(("episode_fees", "episode_spread", "episode_refund", "episode_drawdown"), "$"),
    "validation_net": "$ a market",
    "validation_hold": OF_CHOICES,
}


def dollars(value: float) -> str:
    """An amount in words: −$1.2345."""
    return f"{'−' if value < 0 else ''}${abs(value):,.4f}"
