"""Tables that say what the environment is: actions, features, fills, latencies, fees, rewards; units and formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kalshi_ray.core.actions import ACTION_SPACES, action_space
from kalshi_ray.core.features import OBSERVATIONS, observation
from kalshi_ray.core.fees import CLEARED_PRECISION, COMBO_MAKER_PPM, DIRECT_PRECISION, MAKER_PPM, TAKER_PPM
from kalshi_ray.core.matching import QUEUE_EXPONENT
from kalshi_ray.core.units import MICROS_PER_DOLLAR
from kalshi_ray.env.settings import PER_MICRO, REWARDS, EnvSettings

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


def pricings() -> Described:
    """Where an order stands by its pricing."""
    rows = (
        ("TAKE", "the best price of the other side, as seen", "IOC: what it misses is gone; SELL is reduce-only"),
        ("INSIDE", "one tick inside the best price of the other side", "post-only until the order lifetime"),
        ("JOIN", "the best price of the own side", "post-only until the order lifetime"),
        ("IMPROVE", "one tick better than the best price of the own side", "post-only until the order lifetime"),
    )
    return Described("pricings", "Pricings", ("pricing", "price", "time in force"), rows)


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


def fill_rules() -> Described:
    """What each happening on the exchange does to an order of ours."""
    rows = (
        (
            "our order arrives, IOC",
            "walks the shown levels up to its limit; what we took stays taken; the rest is gone",
        ),
        ("our order arrives, post-only", "refused if it would cross; else it stands behind what its level shows"),
        ("print through our price", "fills us first, up to its size"),
        ("print at our price", "lots beyond the queue ahead fill us; the queue shrinks by the rest"),
        ("the other side shows our price or better", "fills us up to the shown size, the queue at our price first"),
        ("cancel at our level, pessimistic", "the queue ahead is clipped to the size shown, nothing more"),
        ("cancel at our level, fitted", f"queue - cancelled x (queue / shown)^{QUEUE_EXPONENT}, and clipped"),
        ("cancel at our level, optimistic", "queue - cancelled, and clipped"),
        ("amendment, smaller at the same price", "keeps its place"),
        ("amendment, larger or at another price", "goes to the back"),
        ("gap", "resting orders are gone; nothing fills until the next snapshot"),
        ("pause, return, close", "a pause keeps resting orders, the return and the close cancel them"),
        ("block and off-grid prints", "no effect"),
    )
    return Described("fill_rules", "What fills an order", ("on the exchange", "our order"), rows)


def latencies() -> Described:
    """The clock of decisions and the three delays, with their defaults."""
    default = EnvSettings()
    rows = (
        ("burst wait", f"{default.burst_ms:g} ms", "from the first undecided change of the book to the decision"),
        ("decision interval", f"{default.decision_ms:g} ms", "shortest time between two decisions of a market"),
        ("feed", f"{default.feed_ms:g} ms", "exchange to us, where a recording does not know its exchange times"),
        ("entry", f"{default.entry_ms:g} ms", "us to the exchange: an order meets what happens after it"),
        ("response", f"{default.response_ms:g} ms", "the exchange's answer to us"),
        ("spread", f"{default.latency_spread:g}", "entry and response are drawn evenly within this share; seeded"),
    )
    return Described("latencies", "Clock and latencies", ("what", "default", "meaning"), rows)


def fees() -> Described:
    """Fee rates by type, and how they are rounded."""
    formula = "rate x contracts x P x (1 - P), P in dollars, rounded up to $0.000001"
    rows = (
        ("taker", _rate(TAKER_PPM), formula),
        ("maker, quadratic", _rate(0), "no fee"),
        ("maker, quadratic_with_maker_fees", _rate(MAKER_PPM), formula),
        ("maker, quadratic_with_combo_maker_fees", _rate(COMBO_MAKER_PPM), formula),
        ("type unknown", f"{_rate(TAKER_PPM)} and {_rate(MAKER_PPM)}", "charged with maker fees"),
        ("direct member", "", f"cash moves in whole ${DIRECT_PRECISION / MICROS_PER_DOLLAR:g}; {_KEPT}"),
        ("cleared member", "", f"cash moves in whole ${CLEARED_PRECISION / MICROS_PER_DOLLAR:g}; {_KEPT}"),
    )
    return Described("fees", "Fees", ("fill", "rate", "formula"), rows)


_KEPT = "what rounding takes is kept for the order and paid back in whole units"


def _rate(ppm: int) -> str:
    return f"{ppm / 1e6:g}"


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
        pricings(),
        observations(),
        features(layout),
        fills(),
        fill_rules(),
        latencies(),
        fees(),
        rewards(),
        reward_units(),
    ]


BY_NAME: Mapping[str, Callable[[str], Described]] = {
    "action-spaces": lambda _: action_spaces(),
    "actions": actions,
    "pricings": lambda _: pricings(),
    "observations": lambda _: observations(),
    "features": features,
    "fills": lambda _: fills(),
    "fill-rules": lambda _: fill_rules(),
    "latencies": lambda _: latencies(),
    "fees": lambda _: fees(),
    "rewards": lambda _: rewards(),
    "reward-units": lambda _: reward_units(),
}
"""What a page can ask for: `<!-- generated: features.obs54 -->`."""
