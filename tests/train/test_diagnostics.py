"""What a runner counts equals a plain recount of what it sampled; numbers that are none are named."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from kalshi_ray.core.features import FACTS, FEATURE_INDEX
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.orders import CommandKind
from kalshi_ray.core.units import CENT, CONTRACT
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.errors import DataError
from kalshi_ray.train.counting import ID_BITS, count_cuts
from kalshi_ray.train.figures import figures
from kalshi_ray.train.lines import SPREADS, TOUCHES
from kalshi_ray.train.rollout import Rollout
from kalshi_ray.train.run import train
from kalshi_ray.train.tally import joined
from tests.train.sampled import ENV, ROWS, SETTINGS, STEPS, RowsSource, Spoil, runner_of, tally_of

NAMES = ENV.layout.names


def seen(rollout: Rollout, name: str) -> Any:
    """One feature at every decision, [T, B]."""
    return rollout.observation[:-1, :, NAMES.index(name)].astype(np.float64)


@pytest.mark.parametrize("random_actions", [True, False])
def test_decisions_are_counted_as_a_plain_recount_does(random_actions: bool) -> None:
    runner = runner_of()
    [rollout] = runner.sample(random_actions=random_actions)
    tally = tally_of(runner)
    mask, action = rollout.mask[:-1], rollout.action
    legal = mask.sum(axis=2)
    free = legal > 1
    sums = tally.sums[0]
    assert sums["steps"] == ROWS * STEPS and sums["choices"] == free.sum() > 0
    assert sums["holds"] == (action[free] == 0).sum()
    assert sums["surprise"] == pytest.approx(-rollout.logp[free].sum(dtype=np.float64), rel=1e-6)
    assert sums["random_entropy"] == pytest.approx(np.log(legal[free]).sum())
    assert sums["random_holds"] == pytest.approx((mask[..., 0] / legal)[free].sum())
    assert sums["reward"] == pytest.approx(rollout.reward.sum(dtype=np.float64), abs=1e-9)
    assert sums["reward_square"] == pytest.approx(np.square(rollout.reward, dtype=np.float64).sum(), abs=1e-9)
    assert sums["zero_rewards"] == (rollout.reward == 0).sum()
    for a, by in enumerate(tally.by_action):
        assert by["choices"] == (action[free] == a).sum() and by["steps"] == (action == a).sum()
        assert by["random"] == pytest.approx((mask[..., a] / legal)[free].sum(), abs=1e-9)
        assert by["reward"] == pytest.approx(rollout.reward[action == a].sum(dtype=np.float64), abs=1e-9)


def test_bins_and_inventory_agree_with_the_observations_of_the_same_decisions() -> None:
    runner = runner_of()
    [rollout] = runner.sample(random_actions=True)
    tally = tally_of(runner)
    free = rollout.mask[:-1].sum(axis=2) > 1
    cents = np.round(seen(rollout, "spread") * 100, 4)
    contracts = sum(np.round(10 ** (6 * seen(rollout, name)) - 1, 1) for name in ("bid_size", "ask_size"))
    spreads, touches = np.digitize(cents, SPREADS), np.digitize(contracts, TOUCHES)
    for s in range(len(SPREADS) + 1):
        for t in range(len(TOUCHES) + 1):
            here = free & (spreads == s) & (touches == t)
            found = tally.by_bin[s, t]
            assert found["choices"] == here.sum() and found["holds"] == (rollout.action[here] == 0).sum()
            assert found["orders"] <= found["choices"] - found["holds"]
    held = (seen(rollout, "long_ratio") + seen(rollout, "short_ratio")) * ENV.position_limit
    assert tally.sums["positions"][0] / CONTRACT == pytest.approx(held.sum(), rel=1e-5)
    assert tally.sums["flat"][0] == (held == 0).sum() < held.size


def test_the_parts_of_the_reward_add_up_and_the_ledger_counts_every_fill() -> None:
    for reward, share in (("pure", 1.0), ("fee-0.01", 0.3), ("fee-0.1-hold", 0.0)):
        settings = msgspec.structs.replace(ENV, reward=reward, latency_spread=0.2)
        runner = runner_of(RowsSource(settings))
        runner.sample(random_actions=True)  # the next one begins in the middle of episodes
        tally_of(runner)
        rows = runner.rows
        assert isinstance(rows, MarketVectorEnv)
        rows.take_fills()
        runner._ramp_steps, runner.num_env_steps_sampled_lifetime = 1_000, int(1_000 * share)
        [rollout] = runner.sample(random_actions=True)
        tally, fills = tally_of(runner), rows.take_fills()
        assert sum(tally.rewards.values()) == pytest.approx(rollout.reward.sum(dtype=np.float64), abs=1e-5)
        assert (tally.rewards["refund"] > 0) == (share < 1) and (tally.rewards["shaping"] != 0) == (reward != "pure")
        assert tally.ledger["fills"] == len(fills) > 0 and tally.ledger["traded"] == fills["size"].sum()
        assert tally.ledger["maker_fills"] == fills["maker"].sum() and tally.ledger["fees"] == fills["fee"].sum()
        assert tally.episodes == len(rollout.ends) > 0


@pytest.mark.parametrize("space", ["sized21", "sized21-join", "priced7"])
def test_distinct_orders_are_those_that_were_sent_with_a_size_of_their_own(space: str) -> None:
    runner = runner_of(RowsSource(msgspec.structs.replace(ENV, action_space=space, budget_per_s=10.0)))
    runner.sample(random_actions=True)
    tally = tally_of(runner)
    rows = runner.rows
    sent = Counter((a, int(c["size"])) for a, c in rows.commands if c["kind"] != CommandKind.CANCEL)  # type: ignore[attr-defined]
    assert len(np.flatnonzero(tally.by_action["sent"])) + len(tally.odd) == len(sent)
    assert {divmod(one, 1 << ID_BITS) for one in tally.odd.tolist()} <= set(sent)
    assert tally.by_bin["orders"].sum() == sum(sent.values()) > 20


def test_tallies_of_fragments_add_up_to_the_tally_of_both() -> None:
    one, two = runner_of(), runner_of()
    for _ in range(2):
        one.sample(random_actions=True)
    whole = tally_of(one)
    two.sample(random_actions=True)
    first = tally_of(two)
    two.sample(random_actions=True)
    second = tally_of(two)
    summed = joined([first, second])
    for mine, theirs in ((whole.sums, summed.sums), (whole.by_action, summed.by_action), (whole.by_bin, summed.by_bin)):
        for name in mine.dtype.names or ():
            assert mine[name] == pytest.approx(theirs[name], rel=1e-9, abs=1e-9)
    assert whole.ledger == pytest.approx(summed.ledger) and whole.episode == pytest.approx(summed.episode)
    assert (whole.odd == summed.odd).all() and len(summed.accounts["cash"]) == 2 * ROWS
    for name in ("least", "largest", "cut"):
        assert (whole.features[name] == summed.features[name]).all()


def test_random_play_is_its_own_baseline() -> None:
    runner = runner_of()
    for _ in range(10):
        runner.sample(random_actions=True)
    found = figures(tally_of(runner))
    assert found["exploration_ratio"] == pytest.approx(1.0, abs=1e-5)
    assert found["hold_share"] == pytest.approx(found["random_hold_share"], abs=0.02)
    assert found["action_entropy"] == pytest.approx(found["random_action_entropy"], abs=0.03)
    assert all(math.isfinite(value) for value in found.values())


def test_features_are_measured_over_every_observation() -> None:
    runner = runner_of()
    rollouts = [runner.sample(random_actions=True)[0] for _ in range(3)]
    tally = tally_of(runner)
    everything = np.concatenate([r.observation[:-1].reshape(-1, len(NAMES)) for r in rollouts]).astype(np.float64)
    found = tally.features
    assert tally.observed == len(everything) == 3 * ROWS * STEPS
    assert (found["least"] == everything.min(axis=0)).all() and (found["largest"] == everything.max(axis=0)).all()
    assert found["total"] / tally.observed == pytest.approx(everything.mean(axis=0), abs=2e-5)
    variance = found["square"] / tally.observed - (found["total"] / tally.observed) ** 2
    assert variance == pytest.approx(everything.var(axis=0), rel=1e-3, abs=2e-5)


def test_cuts_are_counted_where_the_raw_value_leaves_its_range() -> None:
    runner = runner_of()
    runner.sample(random_actions=True)
    rows = runner.rows
    assert isinstance(rows, MarketVectorEnv)
    facts, layout = as_rows(np.zeros(1, FACTS)), rows.layout
    low, high = layout.low.copy(), layout.high.copy()
    at = NAMES.index("yes_mid")
    low[at], high[at] = 0.4, 0.6
    cuts = np.zeros(len(NAMES), np.int64)
    rules = as_rows(rows.settings.rules())
    count_cuts(rows.rows, rules[0], facts, facts.view(np.float32), layout.index, low, high, cuts)
    mids = (rows.rows["mark_bid"] + rows.rows["mark_ask"]) / 2 / CENT
    assert cuts[at] == ((mids < 40) | (mids > 60)).sum() > 0
    assert FEATURE_INDEX["yes_mid"] == layout.index[at]


@pytest.mark.parametrize(
    ("column", "value"),
    [("observation", np.nan), ("observation", -np.inf), ("final_observation", np.nan), ("reward", np.inf)],
)
def test_a_number_that_is_none_is_named_by_feature_market_and_step(column: str, value: float) -> None:
    spoil = Spoil(column, row=5, step=STEPS + 7, feature=NAMES.index("volatility"), value=value)
    runner = runner_of(RowsSource(spoil=spoil))
    [before] = runner.sample()
    assert np.isfinite(before.observation).all()
    tally_of(runner)
    runner.num_env_steps_sampled_lifetime = 1_000_000
    with pytest.raises(DataError) as failure:
        runner.sample()
    spoiled = runner.rows.spoil  # type: ignore[attr-defined]  # the source travels as a copy
    step = 1_000_000 + (spoiled.step - STEPS + (column == "observation")) * ROWS + 5
    feature = "reward" if column == "reward" else "volatility"
    said = f"{feature} of market {spoiled.ticker} is {value} at step {step:,} of the run."
    assert str(failure.value).startswith(said)


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_a_remote_runner_names_it_too_and_nothing_hangs(tmp_path: Path) -> None:
    spoil = Spoil("observation", row=5, step=STEPS + 7, feature=NAMES.index("volatility"), value=np.nan)
    settings = msgspec.structs.replace(SETTINGS, runners=1, steps=10 * ROWS * STEPS)
    with pytest.raises(DataError, match=r"volatility of market \S+ is nan at step "):
        train(settings, RowsSource(spoil=spoil), run_dir=tmp_path / "r")
