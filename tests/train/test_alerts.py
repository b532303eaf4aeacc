"""Random play raises nothing; each planted fault raises its own alert, once, with its number and its bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.train.alerts import REMEDY, Alert, Watch, deviations
from kalshi_ray.train.settings import ALERTS

RANDOM_HOLD = 0.12
CHOICES = 2_000


class Play:
    """Lines of a run with 2,000 decisions with a choice each: random play, or what `changes` say of a line."""

    def __init__(self, seed: int = 0) -> None:
        self.rng, self.watch, self.count = np.random.default_rng(seed), Watch(), 0

    def line(self, **changes: float) -> dict[str, float]:
        self.count += 1
        acting = self.rng.multinomial(CHOICES, [1 / 20] * 20) / CHOICES
        return {
            "steps": 4_096.0 * self.count,
            "choices": float(CHOICES * self.count),
            "hold_share": self.rng.binomial(CHOICES, RANDOM_HOLD) / CHOICES,
            "random_hold_share": RANDOM_HOLD,
            "exploration_ratio": float(np.clip(self.rng.normal(0.99, 0.005), 0, 1)),
            "top_action": float(acting.argmax() + 1),
            "top_action_share": float(acting.max()),
            "cost_share": 1.0,
            "reward_per_1000": float(self.rng.normal(-3.0, 1.0)),
            **changes,
        }

    def see(self, lines: int, **changes: float) -> list[Alert]:
        return [alert for _ in range(lines) for alert in self.watch.see(self.line(**changes))]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), heavy=st.booleans())
def test_random_play_raises_nothing(seed: int, heavy: bool) -> None:
    """Nor does it where rewards have heavy tails, nor by validations that wander around zero."""
    play = Play(seed)
    for _ in range(150):
        reward = play.rng.standard_t(3) if heavy else play.rng.normal()
        assert play.see(1, reward_per_1000=float(reward), validation_net=-abs(float(play.rng.normal()))) == []
    assert play.watch.standing == frozenset()


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.905, 1.0), seed=st.integers(0, 1_000))
def test_holding_too_often_warns_above_90_and_acts_above_95_percent(share: float, seed: int) -> None:
    play = Play(seed)
    play.see(5)
    found = play.see(10, hold_share=share)
    assert [alert.name for alert in found] == ["hold-90", "hold-95"][: 1 + (share > 0.95)]
    assert [alert.level for alert in found] == ["warn", "act"][: len(found)]
    for alert in found:
        assert alert.value == pytest.approx(share, abs=1e-6) and alert.value > alert.bound
        assert "train.entropy" in alert.words and "at random holds 12%" in alert.words


def test_who_holds_and_earns_waits_for_a_signal_and_who_holds_at_zero_does_not() -> None:
    waiting, collapsed = Play(), Play()
    waiting.see(10, reward_per_1000=20.0)
    assert waiting.see(20, hold_share=0.97, reward_per_1000=20.0) == []
    collapsed.see(10, reward_per_1000=-20.0)
    assert [a.name for a in collapsed.see(20, hold_share=0.97, reward_per_1000=0.0)] == ["hold-90", "hold-95"]


def test_an_alert_rings_once_stands_on_its_bound_and_rings_again_after_it_was_gone() -> None:
    play = Play()
    assert [alert.name for alert in play.see(1, hold_share=0.92)] == ["hold-90"]
    assert play.see(5, hold_share=0.895) == [] and play.watch.standing == {"hold-90"}
    assert play.see(5, hold_share=0.92) == []
    assert play.see(2, hold_share=0.5) == [] and play.watch.standing == frozenset()
    assert [alert.name for alert in play.see(1, hold_share=0.92)] == ["hold-90"]


def test_fewer_than_1000_decisions_say_nothing_and_small_lines_add_up() -> None:
    watch, play = Watch(), Play()
    found = []
    for count in range(1, 15):
        line = play.line(hold_share=1.0) | {"choices": 100.0 * count}
        found.append([alert.name for alert in watch.see(line)])
    assert found[:9] == [[]] * 9 and found[9] == ["hold-90", "hold-95"] and found[10:] == [[]] * 4


def test_a_line_that_measured_nothing_changes_nothing_and_a_resumed_count_starts_anew() -> None:
    play = Play()
    line = play.line(hold_share=1.0)
    line["choices"] = 600.0
    assert not any(play.watch.see(line) for _ in range(5))
    assert [alert.name for alert in play.watch.see(line | {"choices": 500.0})] == ["hold-90", "hold-95"]


@settings(max_examples=25, deadline=None)
@given(excess=st.floats(0.06, 0.11), seed=st.integers(0, 1_000))
def test_ordering_more_often_than_random_play_is_over_trading_once_costs_are_full(excess: float, seed: int) -> None:
    play = Play(seed)
    share = RANDOM_HOLD - excess
    assert play.see(5, hold_share=share, cost_share=0.4) == []
    [alert] = play.see(10, hold_share=share)
    assert (alert.name, alert.level) == ("over-trading", "warn")
    assert alert.value == pytest.approx(1 - share, abs=1e-5) and 1 - RANDOM_HOLD < alert.bound < alert.value


@settings(max_examples=15, deadline=None)
@given(fall=st.floats(4.0, 20.0), seed=st.integers(0, 1_000))
def test_falling_rewards_are_a_trend_at_full_cost_and_not_while_costs_rise(fall: float, seed: int) -> None:
    play = Play(seed)
    rising = [play.see(1, cost_share=i / 60, reward_per_1000=-fall * i / 10) for i in range(60)]
    assert not any(rising)
    assert play.see(40) == []
    found = [play.see(1, reward_per_1000=float(play.rng.normal(-3.0 - fall, 1.0))) for _ in range(20)]
    [alert] = [one for alerts in found for one in alerts]
    assert alert.name == "reward-trend" and alert.value < alert.bound == -5.0 and "learning_rate" in alert.words


@settings(max_examples=25, deadline=None)
@given(best=st.floats(0.01, 100.0), drop=st.floats(0.0, 2.0))
def test_a_validation_that_fell_by_more_than_30_percent_is_a_drop(best: float, drop: float) -> None:
    play = Play()
    assert play.see(2, validation_net=best) == []
    found = play.see(3, validation_net=best * (1 - drop))
    assert [alert.name for alert in found] == (["validation-drop"] if drop > 0.3 else [])
    if found:
        assert found[0].level == "act" and found[0].value == pytest.approx(drop, abs=1e-5)
        assert play.see(1, validation_net=best * 0.79) == [] and "validation-drop" in play.watch.standing
        assert play.see(1, validation_net=best) == [] and play.watch.standing == frozenset()


def test_one_id_in_nearly_all_orders_is_a_collapse_only_where_exploring_has_ended() -> None:
    play = Play()
    assert play.see(5, top_action_share=0.97, exploration_ratio=0.6) == []
    [alert] = play.see(5, top_action=8.0, top_action_share=0.97, exploration_ratio=0.05)
    assert alert.name == "one-action" and alert.level == "act" and "action 8" in alert.words
    # Three orders in two thousand decisions prove nothing.
    few = Play()
    found = few.see(5, top_action_share=1.0, exploration_ratio=0.05, hold_share=0.9)
    assert [alert.name for alert in found] == ["one-action"]
    assert "one-action" not in [
        a.name for a in Play().see(5, top_action_share=1.0, exploration_ratio=0.05, hold_share=0.999)
    ]


def test_every_alert_that_settings_know_says_what_to_do_and_there_are_no_others() -> None:
    assert tuple(REMEDY) == ALERTS


@given(st.lists(st.floats(-100, 100), min_size=6, max_size=60), st.floats(0.1, 10), st.floats(-50, 50))
def test_deviations_do_not_depend_on_unit_or_level(values: list[float], scale: float, shift: float) -> None:
    found, moved = deviations(values), deviations([scale * value + shift for value in values])
    assert math.isfinite(found)
    if abs(found) < 100 and np.ptp(values) > 1e-3:
        assert moved == pytest.approx(found, rel=1e-3, abs=1e-3)


def test_values_and_bounds_survive_json() -> None:
    import msgspec

    play: Any = Play()
    for alert in play.see(40, hold_share=1.0, reward_per_1000=0.0) + play.see(30, reward_per_1000=-1.0):
        assert msgspec.json.decode(msgspec.json.encode(alert), type=Alert) == alert
