"""Groups of a breakdown hold every trade and market once, and sum to the net."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_ray.core.units import CENT, DOLLAR, MICROS_PER_DOLLAR
from kalshi_ray.evaluate.breakdown import (
    Breakdown,
    Consistency,
    Group,
    breakdowns_of,
    consistency_of,
    seeded_order,
)
from kalshi_ray.evaluate.intervals import Interval
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.tally import LIFE, Lives
from kalshi_ray.evaluate.traits import Traits
from tests.evaluate.standin import START, fill, ledger, random_ledger

SETTINGS = EvaluationSettings(resamples=50, market_counts=(2, 5, 100))
HOUR = 3_600 * 10**9


def traits(markets: int, **labels: tuple[str, ...]) -> Traits:
    """An hour of life each, busier and wilder from market to market; every other cell is a burst."""
    spans = np.zeros(markets, LIFE)
    spans["first_ns"], spans["last_ns"], spans["cells"] = START, START + HOUR, 361 * np.arange(markets)
    rates, moves = np.arange(markets, dtype=np.float64), np.arange(markets, dtype=np.float64) ** 2
    moves[-1] = np.nan
    return Traits(Lives(spans, np.tile(np.arange(361, dtype=np.uint8) % 2, markets)), rates, moves, labels)


def divided(made: Ledger, **labels: tuple[str, ...]) -> dict[str, Breakdown]:
    count = len(made.tickers)
    found = breakdowns_of(made, traits(count, **labels), np.arange(count), SETTINGS, acts=True)
    return {one.by: one for one in found}


@pytest.mark.parametrize("seed", range(6))
def test_groups_of_markets_and_of_entries_sum_to_the_net_and_to_every_fill(seed: int) -> None:
    made = random_ledger(seed, markets=6, count=200, settled=bool(seed % 2))
    for one in divided(made, series=("A", "B", "A", "", "B", "A")).values():
        if one.of == "subsets":
            continue
        assert sum(group.net for group in one.groups) == pytest.approx(made.closed_pnl.sum() / MICROS_PER_DOLLAR)
        assert sum(group.fills for group in one.groups) == len(made.fills)
        assert sum(group.contracts for group in one.groups) == pytest.approx(made.fills["size"].sum() / 100)
        if one.of == "markets":
            assert sum(group.markets for group in one.groups) == 6
            assert sum(group.decisions or 0 for group in one.groups) == made.episodes["steps"].sum()


def test_a_trade_belongs_to_where_it_was_entered_whatever_came_later() -> None:
    made = ledger(
        1,
        [
            fill(0, 100, +1, 300, 100, spread=50),  # bought at 3¢ in the first quarter, in cell 10: quiet
            fill(0, 3_500, -1, 9_900, 100, spread=2_000),
        ],
    )
    found = divided(made)
    assert [group.name for group in found["spread"].groups] == ["below 1¢"]
    assert [group.name for group in found["price"].groups] == ["up to 5¢"]
    assert [group.name for group in found["phase"].groups] == ["first quarter"]
    assert [group.name for group in found["end"].groups] == ["before"]
    assert [group.name for group in found["pace"].groups] == ["quiet"]
    assert found["price"].groups[0].net == pytest.approx(0.96) and found["price"].groups[0].win_rate == 1.0


def test_the_last_five_minutes_and_bursts_are_told_by_time() -> None:
    found = divided(ledger(1, [fill(0, 3_300, -1, 9_700, 100, spread=-1)], end_price=0, settled=True))
    assert [group.name for group in found["end"].groups] == ["last 5 minutes"]
    assert [group.name for group in found["spread"].groups] == ["one-sided"]
    assert [group.name for group in found["price"].groups] == ["up to 5¢"]  # a NO costs 3¢
    burst = divided(ledger(1, [fill(0, 10, +1, 5_000, 100)]))
    assert [group.name for group in burst["pace"].groups] == ["burst"]


def test_markets_fall_into_thirds_and_those_without_a_value_stand_apart() -> None:
    found = divided(random_ledger(1, markets=9, count=30))
    assert [group.markets for group in found["activity"].groups] == [3, 3, 3]
    assert found["volatility"].groups[-1].name == "unknown" and found["volatility"].groups[-1].markets == 1
    assert [group.name.partition(":")[0] for group in found["activity"].groups] == ["low", "middle", "high"]


def test_subsets_of_markets_hold_each_other_and_end_with_all_of_them() -> None:
    made = random_ledger(2, markets=7, count=60)
    groups = divided(made)["number of markets"].groups
    assert [group.markets for group in groups] == [2, 5, 7]
    assert groups[-1].net == pytest.approx(made.closed_pnl.sum() / MICROS_PER_DOLLAR)
    order = seeded_order(made.tickers, SETTINGS.seed)
    assert groups[0].net == pytest.approx(made.closed_pnl[order[:2]].sum() / MICROS_PER_DOLLAR)


def test_the_seeded_order_of_a_market_does_not_depend_on_the_others() -> None:
    names = [f"M{at}" for at in range(50)]
    whole = [names[at] for at in seeded_order(names, 3)]
    part = [names[10:][at] for at in seeded_order(names[10:], 3)]
    assert [name for name in whole if name in names[10:]] == part
    assert whole != [names[at] for at in seeded_order(names, 4)]


def test_few_events_are_marked_and_have_no_interval() -> None:
    made = random_ledger(3, markets=30, count=300)
    groups = divided(made)["activity"].groups
    assert [group.is_small for group in groups] == [False, False, False]
    assert all(group.is_small for group in divided(random_ledger(3, markets=9, count=90))["activity"].groups)


def test_a_policy_that_does_nothing_still_has_its_decisions_by_state() -> None:
    made = random_ledger(0, markets=3, count=0)
    made.states[5, 2, 2, 1, 0] = 90
    made.states[5, 3, 2, 1, 1] = 10
    groups = divided(made)["spread"].groups
    assert [(group.name, group.decisions, group.hold_share) for group in groups] == [
        ("2-5¢", 90, 1.0),
        ("5-10¢", 10, 0.0),
    ]


def of_kind(*bounds: tuple[float, float | None, float | None]) -> Breakdown:
    groups = [
        Group(
            name=f"g{at}", markets=1, decisions=1, hold_share=None, fills=1, contracts=1.0, trades=1, win_rate=None,
            net=mean, net_cents=None, per_market=Interval(mean=mean, low=low, high=high),
        )
        for at, (mean, low, high) in enumerate(bounds)
    ]  # fmt: skip
    return Breakdown(by="series", of="markets", words="", groups=tuple(groups))


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ([(1.0, 0.5, 1.5), (2.0, -1.0, 5.0)], "consistent"),
        ([(1.0, 0.5, 1.5), (-0.1, -1.0, 1.0)], "mixed"),
        ([(1.0, 0.5, 1.5), (-2.0, -3.0, -1.0)], "inconsistent"),
        ([(1.0, 0.5, 1.5), (-2.0, None, None)], "not computable"),
        ([], "not computable"),
    ],
)
def test_consistency_is_told_by_the_groups_that_have_an_interval(
    bounds: list[tuple[float, float | None, float | None]], verdict: str
) -> None:
    found: Consistency = consistency_of([of_kind(*bounds)])
    assert found.verdict == verdict and found.words


def test_bounds_of_prices_belong_to_the_lower_band() -> None:
    made = ledger(1, [fill(0, 1, +1, 5 * CENT, 100)])
    assert divided(made)["price"].groups[0].name == "up to 5¢"
    made = ledger(1, [fill(0, 1, -1, DOLLAR - 5 * CENT - 1, 100)])
    assert divided(made)["price"].groups[0].name == "5-20¢"
