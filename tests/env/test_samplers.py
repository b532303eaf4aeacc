"""Samplers choose views and starts; the environment tells them how long episodes were."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.samplers import DONE, RATED, SAMPLERS, Chosen, Listener, ViewSampler
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, NothingToDo, UnknownName
from tests.env.random_tapes import random_tape
from tests.tapes import pack_of

EVERY = np.arange(4, dtype=np.int32)
RATINGS = np.array([3.0, 1.0, 0.0, 2.0])


@pytest.fixture(scope="module")
def pack() -> ViewPack:
    """Four markets: the third has most decision points, the first fewest."""
    return pack_of(*(random_tape(market, market=market, moments=m) for market, m in enumerate((30, 80, 160, 50))))


def sampler(pack: ViewPack, order: str, *, seed: int = 0, anywhere: bool = False) -> ViewSampler:
    ratings = RATINGS if order in RATED else None
    return ViewSampler(pack, EVERY, order=order, seed=seed, anywhere=anywhere, ratings=ratings)


def shares(pack: ViewPack, order: str) -> np.ndarray:
    made = sampler(pack, order)
    return np.bincount([made.next(0)[0] for _ in range(10_000)], minlength=4) / 10_000


def test_random_draws_by_decision_points_and_volume_and_activity_by_their_ratings(pack: ViewPack) -> None:
    steps = pack.views["steps"]
    assert shares(pack, "random") == pytest.approx(steps / steps.sum(), abs=0.02)
    for order in ("volume", "activity"):
        assert shares(pack, order) == pytest.approx(RATINGS / RATINGS.sum(), abs=0.02)


def test_each_once_begins_with_the_market_of_most_decision_points(pack: ViewPack) -> None:
    made = sampler(pack, "each-once")
    order = [made.next(0)[0] for _ in range(6)]
    steps = [int(pack.views["steps"][view]) for view in order[:4]]
    assert sorted(order[:4]) == [0, 1, 2, 3] and steps == sorted(steps, reverse=True)
    assert order[4:] == [DONE, DONE]


def test_easy_to_hard_begins_with_the_easiest_market_and_ends_with_all(pack: ViewPack) -> None:
    made = sampler(pack, "easy-to-hard")
    assert {made.next(0)[0] for _ in range(200)} == {2}  # the lowest difficulty
    made.set_progress(0.7)
    assert {made.next(0)[0] for _ in range(400)} == {0, 1, 2, 3}


@pytest.mark.parametrize("order", SAMPLERS)
def test_a_seed_is_an_order_and_a_state_goes_on_with_it(pack: ViewPack, order: str) -> None:
    one, again = (sampler(pack, order, seed=3, anywhere=True) for _ in range(2))
    assert [one.next(0) for _ in range(8)] == [again.next(0) for _ in range(8)]
    one.set_progress(0.5)
    other = sampler(pack, order, seed=4, anywhere=True)
    other.set_state(one.get_state())
    assert [one.next(0) for _ in range(8)] == [other.next(0) for _ in range(8)]


@pytest.mark.parametrize("order", [name for name in SAMPLERS if name != "each-once"])
def test_first_starts_are_staggered_over_the_tapes(pack: ViewPack, order: str) -> None:
    made = sampler(pack, order, anywhere=True)
    first = [made.next(row) for row in range(64)]
    views = pack.views[[view for view, _ in first]]
    depth = (np.array([start for _, start in first]) - views["start"]) / (views["stop"] - views["start"])
    assert (depth >= 0.0).all() and (depth < 1.0).all()
    assert (np.histogram(depth, bins=4, range=(0.0, 1.0))[0] >= 6).all()


def test_the_environment_balances_steps_between_a_common_class_and_a_rare_one(pack: ViewPack) -> None:
    """Market 0 alone is a class; by decision points it would get a tenth of the steps."""
    made = ViewSampler(pack, EVERY, order="balanced", seed=1, anywhere=True, ratings=np.array([7.0, 1.0, 1.0, 1.0]))
    assert isinstance(made, Listener)
    env = MarketVectorEnv(pack, EnvSettings(start="random"), num_envs=4, seed=2, sampler=made)
    batch = env.new_batch()
    env.reset_into(batch)
    steps = np.zeros(4)
    for _ in range(4_000):
        env.step_into(np.zeros(4, np.int64), batch)
        for episode in env.take_episodes():
            steps[episode["view_index"]] += episode["steps"]
    assert steps[0] / steps.sum() == pytest.approx(0.5, abs=0.02)


def test_an_unknown_sampler_is_told_all_there_are(pack: ViewPack) -> None:
    with pytest.raises(UnknownName) as caught:
        sampler(pack, "balance")
    assert all(name in str(caught.value) for name in SAMPLERS)
    assert "Did you mean balanced?" in str(caught.value)


@pytest.mark.parametrize("order", RATED)
@pytest.mark.parametrize("ratings", [None, np.ones(3), np.array([1.0, np.nan, 1.0, 1.0])])
def test_a_sampler_without_a_rating_of_every_market_is_refused(
    pack: ViewPack, order: str, ratings: np.ndarray | None
) -> None:
    with pytest.raises(ConfigError, match="needs a finite rating of each of the 4 markets"):
        ViewSampler(pack, EVERY, order=order, seed=0, ratings=ratings)


def test_weights_that_are_all_zero_are_refused_and_never_taken_for_equal(pack: ViewPack) -> None:
    with pytest.raises(NothingToDo, match="none of the 4 markets has any volume"):
        ViewSampler(pack, EVERY, order="volume", seed=0, ratings=np.zeros(4))


def test_a_chosen_episode_is_handed_out_once_also_after_a_restart() -> None:
    one, two = Chosen((2, 7)), Chosen()
    two.set_state(one.get_state())
    assert [two.next(0), two.next(0)] == [(2, 7), (DONE, -1)]
