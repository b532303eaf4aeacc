"""What a run says of itself, as tables: for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kalshi_ray.train.lines import HEAVILY_CLIPPED, SPREAD_NAMES, TOUCH_NAMES, UNITS
from kalshi_ray.train.runs import RunRecord

ENOUGH = 20_000  # decisions with a choice that the table of actions looks back on

FIGURES: dict[str, tuple[str, ...]] = {
    "course": ("steps", "seconds", "steps_per_s", "cost_share", "restarts"),
    "validation": ("validation_net", "validation_hold"),
    "decisions": (
        "choice_share", "hold_share", "random_hold_share", "choice_entropy", "random_entropy", "exploration_ratio",
        "action_entropy", "random_action_entropy", "actions_used", "distinct_orders", "top_action", "top_action_share",
    ),
    "reward": (
        "reward_per_1000", "reward_equity_per_1000", "reward_refund_per_1000", "reward_shaping_per_1000",
        "reward_deviation", "zero_reward_share",
    ),
    "trading": (
        "orders_per_1000", "fills_per_1000", "contracts_per_1000", "fees_per_1000", "rejected_per_1000", "maker_share",
        "fill_rate", "position_mean", "flat_share", "equity_min", "equity_mean", "equity_max", "drawdown_mean",
        "drawdown_max",
    ),
    "learning": (
        "policy_loss", "value_loss", "entropy", "entropy_weight", "kl", "clip_fraction", "explained_variance",
        "policy_grad_norm", "value_grad_norm", "towers_grad_norm", "learning_rate",
    ),
    "observation": ("clipped_share", "clipped_features", "constant_features"),
}  # fmt: skip

COMPARED = (
    "status", "steps", "seconds", "steps_per_s", "best_validation", "validation_hold", "reward_per_1000", "hold_share",
    "random_hold_share", "exploration_ratio", "orders_per_1000", "fills_per_1000", "fees_per_1000", "kl",
    "clip_fraction", "explained_variance", "cost_share", "alerts",
)  # fmt: skip


@dataclass(frozen=True)
class RunTable:
    """Rows under columns; the columns in `right` are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    right: Sequence[str] = ()
    note: str = ""


def tables_of(run: RunRecord) -> list[RunTable]:
    """Everything worth a look, in order; tables without rows are left out."""
    tables = [
        settings_table(run),
        validation_table(run),
        *figure_tables(run),
        alert_table(run),
        action_table(run),
        *bin_tables(run),
        health_table(run),
    ]
    return [table for table in tables if table.rows]


def settings_table(run: RunRecord) -> RunTable:
    """Settings that differ from the preset."""
    rows = [(f"train.{name}", _short(value), _short(usual)) for name, (value, usual) in run.differing().items()]
    preset = run.settings.get("preset", "?")
    return RunTable(f"Settings that differ from preset {preset}", ("setting", "in force", "preset or default"), rows)


def validation_table(run: RunRecord) -> RunTable:
    """The best and the newest validation."""
    lines = run.validation
    if not lines:
        return RunTable("Validation", (), ())
    best = max(lines, key=lambda line: line["net_per_market"])
    shown = [("best", best)] if best is lines[-1] else [("best", best), ("newest", lines[-1])]
    columns = ("which", "step", "net a market, $", "markets", "trades", "fills", "hold share", "win rate")
    rows = [
        (which, int(one["steps"]), *(one.get(name) for name in ("net_per_market", "markets", "trades", "fills")))
        + (one.get("hold_share"), one.get("win_rate"))
        for which, one in shown
    ]
    return RunTable(f"Validation, {len(lines):,} so far, at full cost", columns, rows, right=columns[1:])


def figure_tables(run: RunRecord) -> list[RunTable]:
    """The last figures, by what they are about."""
    columns = ("figure", "value", "unit")
    found = []
    for title, names in FIGURES.items():
        rows = [(name, _whole(run.last[name]), UNITS.get(name, "")) for name in names if name in run.last]
        found.append(RunTable(f"Last line: {title}", columns, rows, right=("value",)))
    rows = [(name, _whole(value), UNITS.get(name, "")) for name, value in run.last.items() if name[:8] == "episode_"]
    return [*found, RunTable("Last line: means of the episodes that ended", columns, rows, right=("value",))]


def alert_table(run: RunRecord) -> RunTable:
    """What was raised, and when."""
    names = ("steps", "name", "level", "value", "bound", "words")
    rows = [tuple(alert.get(name) for name in names) for alert in run.alerts]
    return RunTable("Alerts", ("step", "alert", "level", "value", "bound", "what to try"), rows, ("step",))


def action_table(run: RunRecord) -> RunTable:
    """Share of every id in the newest decisions with a choice, beside a random policy under the same masks."""
    lines = _newest(run)
    if not lines:
        return RunTable("Actions", (), ())
    choices, random = _summed(lines, "choices"), _summed(lines, "random")
    total, chance = max(sum(choices), 1.0), max(sum(random), 1.0)
    meanings = run.source.get("contract", {}).get("action_space", {}).get("table", [])
    rows = [
        (a, _meaning(meanings, a), 100 * count / total, 100 * random[a] / chance, lines[-1]["reward"][a])
        for a, count in enumerate(choices)
    ]
    columns = ("id", "action", "chosen, %", "at random, %", "mean reward")
    return RunTable(
        "Actions beside random play",
        columns,
        rows,
        right=("id", *columns[2:]),
        note=f"of the newest {total:,.0f} decisions with a choice; rewards of the newest line, in their unit",
    )


def bin_tables(run: RunRecord) -> list[RunTable]:
    """How it decides by spread and by liquidity."""
    lines = [line for line in _newest(run) if "bins" in line]
    if not lines:
        return []
    found = []
    for title, names, axis in (("spread", SPREAD_NAMES, 0), ("contracts at the touch", TOUCH_NAMES, 1)):
        sums = [[0, 0, 0] for _ in names]
        for line in lines:
            for s, row in enumerate(line["bins"]):
                for t, cell in enumerate(row):
                    at = (s, t)[axis]
                    sums[at] = [have + more for have, more in zip(sums[at], cell, strict=True)]
        rows = [
            (name, choices, 100 * holds / choices, 100 * orders / choices)
            for name, (choices, holds, orders) in zip(names, sums, strict=True)
            if choices
        ]
        columns = (title, "decisions", "hold, %", "order sent, %")
        found.append(RunTable(f"Decisions with a choice by {title}", columns, rows, right=columns[1:]))
    return found


def health_table(run: RunRecord, *, whole: bool = False) -> RunTable:
    """Features that never move or are often cut; all of them if `whole`."""
    features = run.health.get("features", [])
    shown = [f for f in features if whole or f["constant"] or f["clipped"] > HEAVILY_CLIPPED]
    columns = ("feature", "unit", "min", "mean", "max", "deviation", "range", "cut, %", "")
    rows = [
        (f["name"], f["unit"], f["min"], f["mean"], f["max"], f["deviation"], f"{f['low']:g} … {f['high']:g}")
        + (100 * f["clipped"], "constant" if f["constant"] else "")
        for f in shown
    ]
    title = "Features" if whole else f"Features that never move or are often cut, of {len(features)}"
    note = f"over the newest {run.health.get('window', 0):,} observations" if features else ""
    return RunTable(title, columns, rows, right=columns[2:6] + columns[7:8], note=note)


def comparison(runs: Sequence[RunRecord]) -> list[RunTable]:
    """Settings in which the runs differ, and their figures side by side."""
    names = [run.name for run in runs]
    settings: dict[str, list[object]] = {}
    for key in {key: None for run in runs for key in _flat(run)}:
        values = [_flat(run).get(key) for run in runs]
        if any(value != values[0] for value in values):
            settings[key] = [_short(value) for value in values]
    figures = []
    for name in COMPARED:
        row = [_figure(run, name) for run in runs]
        if any(value is not None for value in row):
            figures.append((name, *row, "$ a market" if name == "best_validation" else UNITS.get(name, "")))
    return [
        RunTable("Settings that differ", ("setting", *names), [(key, *row) for key, row in settings.items()]),
        RunTable("Figures", ("figure", *names, "unit"), figures, right=names, note=_units_note(runs)),
    ]


def _units_note(runs: Sequence[RunRecord]) -> str:
    units = {str(run.settings.get("reward_unit")) for run in runs}
    return f"rewards are in different units, {', '.join(sorted(units))}: not to be compared" if len(units) > 1 else ""


def _figure(run: RunRecord, name: str) -> object:
    summary = run.summary()
    if name in ("status", "best_validation", "alerts"):
        return getattr(summary, name)
    return _whole(run.last[name]) if name in run.last else None


def _flat(run: RunRecord) -> dict[str, Any]:
    """Settings of training and environment, and the markets, by dotted name."""
    sessions = {str(s.get("id")): s.get("markets", "?") for s in run.source.get("sessions", [])}
    return {
        **{f"train.{name}": value for name, value in run.settings.items()},
        **{f"env.{name}": value for name, value in run.source.get("env", {}).items()},
        "sessions": ", ".join(f"{name} ({markets} markets)" for name, markets in sessions.items()),
    }


def _newest(run: RunRecord) -> list[dict[str, Any]]:
    """The newest lines that hold enough decisions."""
    found, count = [], 0
    for line in reversed(run.actions):
        found.append(line)
        count += sum(line["choices"])
        if count >= ENOUGH:
            break
    return found[::-1]


def _summed(lines: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [sum(values) for values in zip(*(line[name] for line in lines), strict=True)]


def _meaning(meanings: Sequence[dict[str, Any]], action: int) -> str:
    if action >= len(meanings):
        return ""
    one = meanings[action]
    if one.get("intent") == "HOLD":
        return "HOLD"
    return f"{one.get('intent')} {one.get('contracts', 0):g}, {str(one.get('pricing', '')).lower()}"


def _short(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _whole(value: float) -> int | float:
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else value
