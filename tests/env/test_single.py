"""`MarketEnv`: one row as any Gymnasium library expects it, equal to a row of the vector environment."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pyarrow as pa
import pytest
from gymnasium.utils.env_checker import check_env

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.schema import UPDATES, Manifest
from kalshi_ray.data.store import open_store
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.env.single import MarketEnv
from kalshi_ray.errors import NothingToDo, UnknownName, UsageError
from tests.env.play import Episodes
from tests.env.random_tapes import random_tape
from tests.tapes import gap, markets_of, pack_of


@pytest.fixture(scope="module")
def pack() -> ViewPack:
    return pack_of(*(random_tape(seed, market=seed, moments=80, result=100 * (seed % 2)) for seed in range(3)))


def course(env: MarketEnv, *, seed: int | None, steps: int = 60, **options: Any) -> list[Any]:
    """Observations, masks, rewards and ends of random legal actions from a reset on."""
    chance = np.random.default_rng(7)
    observation, found = env.reset(seed=seed, options=options or None)
    seen: list[Any] = [(observation.tobytes(), found["action_mask"].tobytes())]
    for _ in range(steps):
        action = int(np.argmax(chance.random(env.action_space.n) * env.action_masks()))
        observation, reward, terminated, truncated, found = env.step(action)
        seen.append(
            (observation.tobytes(), found["action_mask"].tobytes(), reward, terminated, truncated, found["elapsed"])
        )
        if terminated or truncated:
            break
    return seen


@pytest.mark.parametrize("space", ["sized21", "sized21-join", "priced7"])
def test_the_gymnasium_checker_has_nothing_to_say(pack: ViewPack, space: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(MarketEnv(pack, EnvSettings(action_space=space)), skip_render_check=True)


def test_gymnasium_wrappers_and_its_vectors_take_it(pack: ViewPack) -> None:
    stacked = gym.vector.SyncVectorEnv([lambda: MarketEnv(pack, EnvSettings(max_decisions=5))] * 2)
    observation, _ = stacked.reset(seed=1)
    for _ in range(12):
        observation, *_ = stacked.step(np.zeros(2, np.int64))
    assert observation.shape == (2, 54)
    limited = gym.wrappers.TimeLimit(MarketEnv(pack), max_episode_steps=3)
    limited.reset(seed=1)
    assert [limited.step(0)[3] for _ in range(3)] == [False, False, True]


def test_equal_seeds_give_equal_episodes_and_other_seeds_others(pack: ViewPack) -> None:
    env = MarketEnv(pack, EnvSettings(latency_spread=0.5))
    first = course(env, seed=3)
    course(env, seed=4)
    assert course(env, seed=3) == first
    assert course(MarketEnv(pack, EnvSettings(latency_spread=0.5), seed=9), seed=3) == first
    assert course(env, seed=4) != first


def test_episodes_follow_each_other_without_a_seed_and_a_seed_begins_anew(pack: ViewPack) -> None:
    env = MarketEnv(pack, EnvSettings(start="whole"))
    tickers = [env.reset(seed=0 if first else None)[1]["ticker"] for first in (True, False, False, False)]
    assert tickers == ["M0", "M1", "M2", "M0"]
    assert env.reset(seed=0)[1]["ticker"] == "M0"


def test_one_row_steps_as_a_row_of_the_vector_environment_does(pack: ViewPack) -> None:
    """Bit for bit, to the end of the episode and its record."""
    single = MarketEnv(pack, EnvSettings(), log_fills=True)
    rows = MarketVectorEnv(pack, EnvSettings(), num_envs=1, sampler=Episodes((1, -1)), log_fills=True)
    batch = rows.new_batch()
    rows.reset_into(batch)
    observation, found = single.reset(seed=0, options={"view": "M1"})
    chance = np.random.default_rng(1)
    while True:
        assert observation.tobytes() == batch.observation[0].tobytes()
        assert found["action_mask"].tobytes() == batch.mask[0].tobytes()
        action = int(np.argmax(chance.random(21) * batch.mask[0]))
        rows.step_into(np.array([action]), batch)
        observation, reward, terminated, truncated, found = single.step(action)
        assert (reward, terminated, truncated) == (batch.reward[0], batch.terminated[0], batch.truncated[0])
        assert found["elapsed"] == batch.elapsed[0]
        if terminated or truncated:
            break
    assert observation.tobytes() == batch.final_observation[0].tobytes()
    assert found["action_mask"].tobytes() == single.action_masks().tobytes() == batch.final_mask[0].tobytes()
    assert single.take_fills().tolist() == rows.take_fills().tolist()
    ours, theirs = single.take_episodes(), rows.take_episodes()
    assert ours["equity_end"].tolist() == theirs["equity_end"].tolist()
    assert len(ours) == len(theirs) == 1


def test_a_masked_action_is_counted_and_one_out_of_range_raises(pack: ViewPack) -> None:
    env = MarketEnv(pack)
    _, found = env.reset(seed=0)
    masked = int(np.argmin(found["action_mask"]))
    assert env.step(masked)[4]["refused"] == 1
    assert env.step(0)[4]["refused"] == 1
    for wrong in (21, -1, 1.5, "HOLD", np.array([0, 1])):
        with pytest.raises(UsageError, match="sized21, which has ids 0 to 20"):
            env.step(wrong)
    assert env.step(np.int64(0))[4]["refused"] == 1
    assert env.step(np.array(0))[4]["refused"] == 1


def test_a_step_without_an_episode_raises(pack: ViewPack) -> None:
    env = MarketEnv(pack, EnvSettings(max_decisions=1))
    with pytest.raises(UsageError, match="reset"):
        env.step(0)
    env.reset(seed=0)
    assert env.step(0)[3]
    with pytest.raises(UsageError, match="reset"):
        env.step(0)


def test_options_choose_the_view_and_the_start(pack: ViewPack) -> None:
    env = MarketEnv(pack)
    assert env.reset(seed=0, options={"view": 2})[1]["ticker"] == "M2"
    assert int(env.row["started_ns"]) == int(pack.updates["recv_ns"][pack.views["start"][2]])
    env.reset(options={"view": "M1", "start": 40})
    assert int(env.row["started_ns"]) == int(pack.updates["recv_ns"][pack.views["start"][1] + 40])


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"view": 3}, UnknownName, "view named 3"),
        ({"view": -1}, UnknownName, "view named -1"),
        ({"view": "M9"}, UnknownName, "M0, M1, M2"),
        ({"ticker": "M1"}, UnknownName, "reset option"),
        ({"start": 3}, UsageError, "Give `view`"),
        ({"view": 0, "start": 10**6}, UsageError, "is not an update of M0"),
        ({"view": 0, "start": -1}, UsageError, "is not an update of M0"),
    ],
)
def test_options_that_name_nothing_are_refused(
    pack: ViewPack, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    env = MarketEnv(pack)
    with pytest.raises(error, match=said):
        env.reset(seed=0, options=options)


def test_a_start_without_a_decision_after_it_is_refused() -> None:
    rows = random_tape(1, moments=40)
    last = max(one["exch_ns"] for one in rows)
    lost = pack_of(rows, [one | {"exch_ns": last + 1} for one in gap(99)])
    with pytest.raises(NothingToDo, match="no decision point from update"):
        MarketEnv(lost).reset(options={"view": 0, "start": len(lost.updates) - 1})


def test_a_sampler_of_ones_own_is_asked_until_it_has_nothing_left(pack: ViewPack) -> None:
    env = MarketEnv(pack, sampler=Episodes((2, -1), (0, -1)))
    assert [env.reset()[1]["ticker"] for _ in range(2)] == ["M2", "M0"]
    with pytest.raises(NothingToDo, match="no episode left"):
        env.reset()


def test_a_restored_environment_goes_on_exactly(pack: ViewPack) -> None:
    one, two = (
        MarketEnv(pack, EnvSettings(latency_spread=0.5)),
        MarketEnv(pack, EnvSettings(latency_spread=0.5), seed=1),
    )
    course(one, seed=1, steps=17, view=0)
    course(two, seed=2, steps=5, view=1)
    two.set_state(one.get_state())
    assert np.array_equal(one.action_masks(), two.action_masks())
    for _ in range(300):
        action = int(np.flatnonzero(one.action_masks())[-1])
        ours, theirs = one.step(action), two.step(action)
        assert ours[0].tobytes() == theirs[0].tobytes()
        assert ours[1:4] == theirs[1:4]
        if ours[2] or ours[3]:
            ours_first, theirs_first = one.reset(), two.reset()
            assert ours_first[0].tobytes() == theirs_first[0].tobytes()


def test_what_is_handed_out_stays_as_it_was(pack: ViewPack) -> None:
    """Observations and masks are the caller's own: a later step does not write into them."""
    env = MarketEnv(pack)
    observation, found = env.reset(seed=0)
    kept, mask = observation.copy(), found["action_mask"].copy()
    for _ in range(10):
        env.step(0)
    assert np.array_equal(observation, kept)
    assert np.array_equal(found["action_mask"], mask)


def test_it_opens_a_session_by_its_store(tmp_path: Path) -> None:
    rows = random_tape(0, moments=40) + random_tape(1, moments=40, market=1)
    rows.sort(key=lambda one: one["recv_ns"])
    with open_store(str(tmp_path)).writer("s", manifest=Manifest(id="s", source="synthetic")) as writer:
        writer.add_markets(markets_of(2))
        writer.append(pa.Table.from_pylist(rows, schema=UPDATES))
        writer.commit()
    env = MarketEnv.from_session(str(tmp_path), "s", EnvSettings(start="whole"), tickers=["M1"])
    assert env.reset(seed=0)[1]["ticker"] == "M1"
    assert env.pack.tickers == ("M1",)
