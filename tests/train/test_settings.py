"""Presets, overrides and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, UnknownName
from kalshi_ray.train.settings import ALERTS, PRESETS, Hyperparameters, TrainSettings


def test_the_documents_preset_is_the_documents_table() -> None:
    """L-05 to L-15: two separate ReLU towers, and every number of theirs."""
    settings = TrainSettings(preset="documents")
    network, numbers = settings.network_in_force(), settings.resolved()
    assert (network.activation, network.shared, network.dropout) == ("relu", False, 0.0)
    assert (numbers.learning_rate_end, numbers.entropy_end) == (numbers.learning_rate, numbers.entropy)
    assert (numbers.learning_rate, numbers.batch, numbers.minibatch, numbers.epochs) == (1e-4, 4096, 256, 10)
    assert (numbers.discount, numbers.gae_lambda, numbers.clip) == (0.99, 0.95, 0.2)
    assert (numbers.entropy, numbers.value_coeff, numbers.grad_clip) == (0.05, 0.5, 0.5)
    assert TrainSettings(preset="documents").network_in_force().hidden == (256, 256, 128)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_what_is_set_wins_over_the_preset_and_the_rest_stays(preset: str) -> None:
    numbers = TrainSettings(preset=preset, entropy=0.123).resolved()
    for name in Hyperparameters.__struct_fields__:
        expected = 0.123 if name == "entropy" else getattr(PRESETS[preset], name)
        assert getattr(numbers, name) == expected


def test_every_hyperparameter_can_be_set() -> None:
    fields = dict(zip(TrainSettings.__struct_fields__, TrainSettings.__struct_defaults__, strict=True))
    assert all(fields.get(name, "missing") is None for name in Hyperparameters.__struct_fields__)


def test_training_bounds_episodes_and_keeps_every_other_rule() -> None:
    env = TrainSettings(preset="documents").training_env(EnvSettings(entry_ms=70.0, start="whole"))
    assert (env.start, env.max_decisions, env.reward_unit, env.entry_ms) == ("random", 2000, "dollars", 70.0)
    assert TrainSettings().training_env(EnvSettings(max_decisions=50)).max_decisions == 50


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "train.steps = 0"),
        ({"steps": -5}, "train.steps = -5"),
        ({"batch": 1000}, "not a multiple of rows x runners = 256 x 1"),
        ({"minibatch": 32_768}, "smaller than train.minibatch"),
        ({"gae_lambda": 1.5}, "gae_lambda = 1.5"),
        ({"early_stop": 1.5}, "early_stop = 1.5"),
        ({"early_stop": 0.3, "eval_freq": 0}, "early_stop without validation"),
        ({"stop_on": ("validation-drop",), "eval_freq": 0}, "stop_on without validation"),
        ({"explore_on": ("hold-95",), "entropy": 0.0}, "there must be a weight"),
        ({"save_freq": 0}, "save_freq = 0"),
        ({"eval_freq": -1}, "eval_freq = -1"),
        ({"keep_best": 0}, "keep_best = 0"),
        ({"runners": -1}, "runners = -1"),
        ({"entropy": -0.1}, "entropy = -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"learners": 2}, "our learner is one process"),
        ({"algorithm": "a2c", "learner": "stock", "tau_s": 0.0}, "knows ppo only"),
        ({"network": "shared"}, "exclude each other"),
        ({"learner": "stock"}, "discount per step only"),
        ({"runner": "stock", "tau_s": 0.0}, "knows no cost ramp"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSettings(**wrong).resolved()


def test_an_alert_that_does_not_exist_is_refused_with_those_that_do() -> None:
    for wrong in ({"stop_on": ("hold",)}, {"explore_on": ("hold",)}):
        with pytest.raises(UnknownName, match=r"no alert named 'hold'.*Known: hold-90, hold-95, over-trading"):
            TrainSettings(**wrong).resolved()  # type: ignore[arg-type]
    TrainSettings(stop_on=ALERTS, explore_on=ALERTS).resolved()


@pytest.mark.parametrize("wrong", [{"preset": "slow"}, {"network": "huge"}])
def test_unknown_names_list_what_exists(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownName, match=r"Known: .*documents"):
        TrainSettings(**wrong).resolved()
