"""Tables that say what the environment is: actions, features, fills, rewards; printed, and generated into the docs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kalshi_ray.core.actions import ACTION_SPACES, action_space
from kalshi_ray.core.features import OBSERVATIONS, observation
from kalshi_ray.env.settings import PER_MICRO, REWARDS

Row = tuple[str, ...]


@dataclass(frozen=True)
class Described:
    """One table: its name in JSON, its title, columns and rows of text."""

    name: str
    title: str
    columns: Row
    rows: tuple[Row, ...]

    def records(self) -> list[dict[str, str]]:
        """The rows by column name."""
        return [dict(zip(self.columns, row)) for row in self.rows]


def action_spaces() -> Described:
    """Every named action space with what it is made of."""
    rows = []
    for name, spec in ACTION_SPACES.items():
        ids = [spec.describe(action) for action in range(1, spec.size)]
        sizes = ", ".join(dict.fromkeys(f"{row['contracts']:g}" for row in ids))
        pricing = ", ".join(dict.fromkeys(str(row["pricing"]).lower() for row in ids))
        force = ", ".join(dict.fromkeys(str(row["time_in_force"]) for row in ids))
        rows.append((name, str(spec.size), sizes, pricing, force, spec.fingerprint))
    columns = ("name", "actions", "contracts", "pricing", "time in force", "fingerprint")
    return Described("action_spaces", "Action spaces", columns, tuple(rows))


def actions(name: str) -> Described:
    """Every id of one action space."""
    spec = action_space(name)
    rows = []
    for action in range(spec.size):
        row = spec.describe(action)
        contracts = f"{row['contracts']:g}" if row["contracts"] else ""
        rows.append((str(row["id"]), str(row["intent"]), contracts, str(row["pricing"]), str(row["time_in_force"])))
    columns = ("id", "intent", "contracts", "pricing", "time in force")
    return Described("actions", f"Actions of {name}, fingerprint {spec.fingerprint}", columns, tuple(rows))


def observations() -> Described:
    """Every named observation layout."""
    rows = tuple((name, str(spec.size), spec.fingerprint) for name, spec in OBSERVATIONS.items())
    return Described("observations", "Observation layouts", ("name", "features", "fingerprint"), rows)


def features(name: str) -> Described:
    """Every feature of one layout with unit, formula and range."""
    spec = observation(name)
    rows = tuple(
        (str(index), feature.name, feature.unit, feature.formula, f"{feature.low:g} … {feature.high:g}")
        for index, feature in enumerate(spec.features)
    )
    columns = ("index", "feature", "unit", "formula", "range")
    return Described("features", f"Features of {name}, fingerprint {spec.fingerprint}", columns, rows)


def fills() -> Described:
    """The three nested models of what a resting order meets."""
    rows = (
        ("pessimistic", "prints only", "the default in training; the edge of a policy is the lowest of the three"),
        ("fitted", "prints, and cancels by a power law of the share behind us", "one documented exponent"),
        ("optimistic", "prints and every cancel", "the upper end of the band"),
    )
    return Described("fills", "Fill models", ("model", "what shrinks the queue ahead of us", "use"), rows)


def rewards() -> Described:
    """Reward presets: the terms beside the change of equity."""
    rows = tuple(
        (name, "change of equity between two decisions, fees included", _share(penalty), f"{bonus:g}" if bonus else "")
        for name, (penalty, bonus) in REWARDS.items()
    )
    columns = ("reward", "base", "share of the paid spread taken off", "added for HOLD, in the reward's unit")
    return Described("rewards", "Rewards", columns, rows)


def reward_units() -> Described:
    """What a reward of 1 is worth."""
    rows = tuple((name, f"${1e-6 / per_micro:,.4g}") for name, per_micro in PER_MICRO.items())
    return Described("reward_units", "Units of the reward", ("unit", "a reward of 1 is"), rows)


def _share(share: float) -> str:
    return f"{share:.0%}" if share else ""


def everything(action_space: str, layout: str) -> list[Described]:
    """All tables for one environment."""
    return [
        action_spaces(),
        actions(action_space),
        observations(),
        features(layout),
        fills(),
        rewards(),
        reward_units(),
    ]


BY_NAME: Mapping[str, Callable[[str], Described]] = {
    "action-spaces": lambda _: action_spaces(),
    "actions": actions,
    "observations": lambda _: observations(),
    "features": features,
    "rewards": lambda _: rewards(),
    "reward-units": lambda _: reward_units(),
    "fills": lambda _: fills(),
}
"""What a page can ask for: `<!-- generated: features.obs54 -->`."""
