"""The same results compiled and plain, and for a row alone or among others: bit for bit."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from tests.core.scenario import CASES, all_digests, legal_actions, play, session


@pytest.fixture(scope="module")
def pack() -> ViewPack:
    return session()


def test_a_plain_run_gives_the_same_bits_as_a_compiled_one(plain_run: subprocess.Popen[str]) -> None:
    """Observations, masks, rewards, fills, episodes and equity of every case, as digests."""
    said, complaints = plain_run.communicate()
    assert plain_run.returncode == 0, complaints
    assert json.loads(said) == all_digests()


def test_the_scenario_takes_and_makes_and_ends_episodes(pack: ViewPack) -> None:
    """What the digests cover is not empty."""
    taker, maker = play(pack, "taker"), play(pack, "maker")
    assert (taker[1]["maker"] == 0).sum() > 20
    assert (maker[1]["maker"] == 1).sum() > 5
    assert taker[2]["terminated"].sum() > 0
    assert (taker[2]["terminated"] == 0).sum() > 0


class OneView:
    """Row i always plays the same view from the same row of the tape."""

    def __init__(self, pack: ViewPack, rows: list[int]) -> None:
        self._plays = [(r % len(pack.views), int(pack.views["start"][r % len(pack.views)]) + 7 * r) for r in rows]

    def set_progress(self, share: float) -> None:
        pass

    def next(self, row: int) -> tuple[int, int]:
        return self._plays[row]

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        del state


def steps_of(pack: ViewPack, case: str, rows: list[int], seeds: np.ndarray) -> list[dict[str, np.ndarray]]:
    """What `rows` of one environment see in 30 steps; each row draws its actions from its own generator."""
    settings = EnvSettings(**({"position_limit": 80} | CASES[case]))
    env = MarketVectorEnv(pack, settings, num_envs=len(rows), sampler=OneView(pack, rows))
    env._progress["seed"] = seeds[rows]  # of the latency draws
    chances = [np.random.default_rng(row) for row in rows]
    batch = env.new_batch()
    env.reset_into(batch)
    seen = []
    for _ in range(30):
        actions = [legal_actions(batch.mask[i : i + 1], chance)[0] for i, chance in enumerate(chances)]
        env.step_into(np.array(actions, np.int64), batch)
        seen.append({name: np.array(getattr(batch, name)) for name in batch.__dataclass_fields__})
        seen[-1]["cash"] = np.array(env.rows["account"]["cash"])
    return seen


@pytest.mark.parametrize("case", ["maker", "mixed"])
def test_eight_rows_stepped_together_equal_each_row_stepped_alone(pack: ViewPack, case: str) -> None:
    seeds = np.arange(8, dtype=np.uint64) * 77
    together = steps_of(pack, case, list(range(8)), seeds)
    for row in range(8):
        alone = steps_of(pack, case, [row], seeds)
        for step, (ours, theirs) in enumerate(zip(alone, together)):
            for name in ours:
                assert np.array_equal(ours[name][0], theirs[name][row]), f"{name} of row {row} at step {step}"
