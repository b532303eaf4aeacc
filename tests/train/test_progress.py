"""Lines of progress: always the same names, never NaN, small on the disk, readable whatever killed the writer."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.features import OBSERVATIONS
from kalshi_ray.errors import DataError
from kalshi_ray.train.folder import PROGRESS, RunFolder
from kalshi_ray.train.health import WINDOW, Health
from kalshi_ray.train.lines import ACTIONS, HEALTH, PORTFOLIO, TENSORBOARD, UNITS
from kalshi_ray.train.progress import LINE_STEPS, Progress, read_progress
from kalshi_ray.train.runner import MarketRunner
from kalshi_ray.train.tally import Tally
from tests.train.results import result_of
from tests.train.sampled import ENV, ROWS, STEPS, runner_of, tally_of

NAMES = list(ENV.layout.names)
FEATURES: list[dict[str, Any]] = [asdict(feature) for feature in ENV.layout.features]
MIB = 1_000_000


def sampled(runner: MarketRunner) -> Tally:
    runner.sample(random_actions=True)
    return tally_of(runner)


@pytest.fixture(scope="module")
def runner() -> MarketRunner:
    return runner_of()


def progress_in(folder: Path, **options: Any) -> Progress:
    return Progress(folder / PROGRESS, features=FEATURES, **options)


def test_every_line_has_the_same_finite_figures_and_extras_stay_from_their_first_line_on(
    tmp_path: Path, runner: MarketRunner
) -> None:
    progress = progress_in(tmp_path)
    for k in range(1, 8):
        extra = {"validation_net": 0.5} if k == 3 else {}
        progress.add(result_of([sampled(runner)], k * LINE_STEPS, k), seconds=float(k), extra=extra)
    lines = read_progress(tmp_path / PROGRESS)
    assert len(lines) == 7 and all(math.isfinite(value) for line in lines for value in line.values())
    names = set(lines[0])
    assert all(set(line) == names | ({"validation_net"} if k >= 2 else set()) for k, line in enumerate(lines))
    assert {"hold_share", "random_hold_share", "exploration_ratio", "distinct_orders", "fills_per_1000"} <= names
    assert {"equity_mean", "constant_features", "kl", "learning_rate", "episode_return", "steps_per_s"} <= names
    assert lines[3]["steps_per_s"] == LINE_STEPS and set(UNITS) >= {n for n in names if n.endswith("_per_1000")}


def test_iterations_smaller_than_a_line_are_counted_together_and_none_is_lost(
    tmp_path: Path, runner: MarketRunner
) -> None:
    """A2C with sixteen-step batches does not flood the disk."""
    progress, tallies, lines = progress_in(tmp_path), [], []
    for k in range(1, 11):
        tallies.append(sampled(runner))
        lines.append(progress.add(result_of([tallies[-1]], k * 500, k), seconds=float(k)))
    progress.close()
    assert [line["steps"] for line in lines] == [500.0 * k for k in range(1, 11)]
    written = read_progress(tmp_path / PROGRESS)
    assert [line["steps"] for line in written] == [
        500,
        3_000,
        5_000,
    ]  # at once, then every 2,048 at least, and the rest
    assert written[-1]["choices"] == sum(int(tally.sums["choices"][0]) for tally in tallies)
    shown = [json.loads(raw) for raw in (tmp_path / ACTIONS).read_bytes().splitlines()]
    counted = sum(np.array(line["choices"]) for line in shown)
    assert (counted == sum(tally.by_action["choices"] for tally in tallies)).all()
    assert progress.last == written[-1]


def test_a_million_steps_take_less_than_5_megabytes_whatever_the_batch_is(tmp_path: Path, runner: MarketRunner) -> None:
    """Measured on full lines of the largest layout, and taken as often as the smallest batch would write them."""
    progress = progress_in(tmp_path, portfolio_every=20_000)
    lines = 25
    for k in range(1, lines + 1):
        line = progress.add(
            result_of([sampled(runner)], k * LINE_STEPS, k), seconds=1.37 * k, extra={"validation_net": 1 / k}
        )
    progress.close()
    assert len(line) > 60
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != HEALTH]
    assert {path.name for path in files} >= {PROGRESS, ACTIONS, PORTFOLIO} and (tmp_path / TENSORBOARD).is_dir()
    once = (tmp_path / HEALTH).stat().st_size
    a_million = sum(path.stat().st_size for path in files) / lines * (1_000_000 / LINE_STEPS) + once
    assert a_million < 5 * MIB


def test_curves_hold_the_figures_of_the_lines(tmp_path: Path, runner: MarketRunner) -> None:
    progress = progress_in(tmp_path)
    for k in range(1, 4):
        progress.add(result_of([sampled(runner)], k * LINE_STEPS, k), seconds=float(k))
    progress.close()
    [path] = (tmp_path / TENSORBOARD).iterdir()
    events = [event for event in events_of(path.read_bytes()) if event.summary.value]
    lines = read_progress(tmp_path / PROGRESS)
    assert [event.step for event in events] == [line["steps"] for line in lines]
    for event, line in zip(events, lines, strict=True):
        found = {value.tag: value.simple_value for value in event.summary.value}
        assert found == pytest.approx({k: v for k, v in line.items() if k not in ("steps", "iteration")}, rel=1e-6)


def events_of(raw: bytes) -> list[Any]:
    """The records of an event file: length, its checksum, bytes, their checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<Q", raw, at)
        found.append(Event.FromString(raw[at + 12 : at + 12 + length]))
        at += 16 + length
    return found


def test_a_file_cut_anywhere_loses_at_most_its_last_line(tmp_path: Path, runner: MarketRunner) -> None:
    progress = progress_in(tmp_path)
    for k in range(1, 4):
        progress.add(result_of([sampled(runner)], k * LINE_STEPS, k), seconds=float(k))
    raw = (tmp_path / PROGRESS).read_bytes()
    for cut in (1, 7, 200):
        (tmp_path / PROGRESS).write_bytes(raw[:-cut])
        assert [line["steps"] for line in read_progress(tmp_path / PROGRESS)][:2] == [LINE_STEPS, 2 * LINE_STEPS]


def test_accounts_are_written_as_often_as_asked(tmp_path: Path, runner: MarketRunner) -> None:
    progress = progress_in(tmp_path, portfolio_every=5_000)
    for k in range(1, 8):
        tally = sampled(runner)
        progress.add(result_of([tally], k * LINE_STEPS, k), seconds=float(k))
    lines = RunFolder(tmp_path).lines(PORTFOLIO)
    assert [line["steps"] for line in lines] == [3 * LINE_STEPS, 5 * LINE_STEPS]
    assert all(line["rows"] == ROWS and line["cash_min"] <= line["cash_mean"] <= line["cash_max"] for line in lines)
    assert all(0 < line["equity_min"] <= 20 * 1.5 for line in lines)  # dollars


def test_the_failure_of_a_remote_runner_is_raised_and_nothing_is_written(tmp_path: Path, runner: MarketRunner) -> None:
    tally = sampled(runner)
    tally.failures.append(DataError("spread of market X is nan at step 7 of the run"))
    with pytest.raises(DataError, match="spread of market X"):
        progress_in(tmp_path).add(result_of([tally], LINE_STEPS), seconds=1.0)
    assert not (tmp_path / PROGRESS).exists()


def test_the_health_of_a_run_names_features_and_flags_the_ones_that_never_move(
    tmp_path: Path, runner: MarketRunner
) -> None:
    progress = progress_in(tmp_path)
    per_line = ROWS * STEPS
    for k in range(1, WINDOW // 10 // per_line + 3):
        line = progress.add(result_of([sampled(runner)], k * LINE_STEPS, k), seconds=float(k))
    table = json.loads((tmp_path / HEALTH).read_bytes())
    by_name = {feature["name"]: feature for feature in table["features"]}
    assert list(by_name) == NAMES and table["observations"] == per_line
    assert by_name["signal_3"]["constant"] and by_name["signal_3"]["deviation"] == 0.0
    assert not by_name["yes_mid"]["constant"] and 0 < by_name["yes_mid"]["min"] < by_name["yes_mid"]["mean"] < 1
    assert line["constant_features"] == sum(feature["constant"] for feature in table["features"]) >= 4
    assert not list(tmp_path.glob("*.partial"))


@given(values=st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=40), cut=st.integers(0, 40))
def test_health_says_the_range_mean_and_deviation_of_what_it_saw(values: list[float], cut: int) -> None:
    seen = np.array(values)
    tally = Tally.empty(2, 1, knows_markets=True)
    tally.features["least"], tally.features["largest"] = seen.min(), seen.max()
    tally.features["total"], tally.features["square"] = seen.sum(), np.square(seen).sum()
    tally.features["cut"], tally.looked, tally.observed = min(cut, len(seen)), len(seen), len(seen)
    health = Health([{"name": "x", "unit": "$", "low": -1.0, "high": 1.0}])
    health.add(tally)
    [row] = health.table(tally)["features"]
    assert row["min"] == pytest.approx(seen.min(), rel=1e-4, abs=1e-30)
    assert row["max"] == pytest.approx(seen.max(), rel=1e-4, abs=1e-30)
    assert row["mean"] == pytest.approx(seen.mean(), abs=1e-4) and row["deviation"] == pytest.approx(
        seen.std(), abs=1e-3
    )
    assert row["clipped"] == pytest.approx(min(cut, len(seen)) / len(seen), rel=1e-4)
    assert health.counts()["clipped_features"] == (row["clipped"] > 0.05)
    assert not row["constant"]  # too little was seen to say so


def test_every_layout_can_be_described() -> None:
    for layout in OBSERVATIONS.values():
        tally = Tally.empty(21, layout.size, knows_markets=True)
        rows = Health([asdict(feature) for feature in layout.features]).table(tally)["features"]
        assert [row["name"] for row in rows] == list(layout.names)
        assert all(math.isfinite(row[name]) for row in rows for name in ("min", "max", "mean", "deviation"))
