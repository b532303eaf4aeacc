"""Seeds of one recipe are one family; anything else that differs makes another."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kalshi_ray.evaluate.families import families_of, family_of
from kalshi_ray.evaluate.metrics import Figures, measure
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.registry import Manifest, contract_of
from tests.evaluate.standin import fill, ledger


def manifest(**changes: Any) -> Manifest:
    made = Manifest(
        id="run-a", run="run", created="", algorithm="ppo", decide="greedy", activation="relu", sizes=[54, 21],
        network={}, contract=contract_of("sized21", "obs54"), training={"seed": 1, "steps": 100}, env={"feed_ms": 50},
        reward="pure", fill_model="pessimistic", sessions=[{"checksum": "a", "tickers": ["M1"]}], packages={},
        metrics={},
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_the_seed_the_name_and_the_metrics_make_no_difference() -> None:
    one = family_of(manifest())
    two = family_of(manifest(id="b", run="r", training={"seed": 2, "steps": 100}, metrics={"x": 1.0}, created="now"))
    assert one[0] == two[0] and (one[1], two[1]) == (1, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"seed": 1, "steps": 200}},
        {"algorithm": "a2c"},
        {"env": {"feed_ms": 60}},
        {"decide": "sampled"},
        {"sessions": [{"checksum": "b", "tickers": ["M1"]}]},
        {"sessions": [{"checksum": "a", "tickers": ["M2"]}]},
        {"contract": contract_of("intent5", "obs54")},
    ],
)
def test_any_other_difference_makes_another_recipe(changes: dict[str, Any]) -> None:
    assert family_of(manifest(**changes))[0] != family_of(manifest())[0]


def earning(cents: int) -> Figures:
    return measure(
        ledger(1, [fill(0, 1, +1, 5_000, 100)], end_price=5_000 + cents * 100, settled=True),
        EvaluationSettings(resamples=10),
    )


def test_a_family_shows_its_median_and_its_worst() -> None:
    judged = [("f", f"s{seed}", seed, earning(cents)) for seed, cents in enumerate((5, -20, 10))]
    (family,) = families_of([*judged, ("lonely", "x", 1, earning(3)), ("", "take-imbalance", None, earning(1))])
    assert family.name == "f" and [one.name for one in family.members] == ["s2", "s0", "s1"]
    assert family.worst == "s1" and family.median_net_per_market == pytest.approx(0.05)
