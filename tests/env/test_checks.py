"""`check_env`: it passes on a sound environment and names what is broken in an unsound one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env import checks
from kalshi_ray.env.checks import CHECKS, Check, check_env
from kalshi_ray.env.market_env import Batch, MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo
from tests.env.random_tapes import random_tape
from tests.tapes import book, pack_of

WITHOUT_LEARNING = {name: check for name, check in CHECKS.items() if name != "stable-baselines3"}


@pytest.fixture(scope="module")
def pack() -> ViewPack:
    return pack_of(*(random_tape(seed, market=seed, moments=120, result=100 * (seed % 2)) for seed in range(4)))


def made(pack: ViewPack, **rules: Any) -> dict[str, Check]:
    ticks = count()
    found = check_env(pack, EnvSettings(**rules), steps=300, clock=lambda: next(ticks) * 1e-5)
    return {one.name: one for one in found}


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(checks, "CHECKS", WITHOUT_LEARNING)
    yield


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"action_space": "sized21-join", "observation": "obs-x", "latency_spread": 0.5, "fill_model": "optimistic"},
        {"action_space": "priced7", "observation": "obs52", "start": "whole", "mask_opposite_buy": False},
        {"action_space": "generic[5,40;take,inside,join,improve]", "reward_unit": "scaled", "member": "cleared"},
    ],
)
def test_the_environment_passes_its_own_contract(pack: ViewPack, rules: dict[str, Any]) -> None:
    found = made(pack, **rules)
    assert {name: one.detail for name, one in found.items() if one.state != "ok"} == {}


@pytest.mark.usefixtures("_quick")
def test_what_cannot_be_checked_is_skipped_with_the_reason_and_nothing_is_timed_without_a_clock(
    pack: ViewPack,
) -> None:
    found = {one.name: one for one in check_env(pack, EnvSettings(reward="fee-0.01"), steps=100)}
    assert [name for name, one in found.items() if one.state == "skipped"] == ["rewards"]
    assert "fee-0.01" in found["rewards"].detail
    assert "starts" not in found


def out_of_range(batch: Batch) -> None:
    batch.observation[0, 0] = 3.0


def all_legal(batch: Batch) -> None:
    batch.mask[0] = True


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [("observations", out_of_range, "out of its range"), ("masks", all_legal, "is legal and was refused")],
)
def test_a_broken_batch_is_named(
    pack: ViewPack, monkeypatch: pytest.MonkeyPatch, name: str, spoil: Callable[[Batch], None], said: str
) -> None:
    step = MarketVectorEnv.step_into

    def spoiled(self: MarketVectorEnv, actions: Any, batch: Batch) -> None:
        step(self, actions, batch)
        spoil(batch)

    monkeypatch.setattr(MarketVectorEnv, "step_into", spoiled)
    monkeypatch.setattr(checks, "CHECKS", {name: CHECKS[name]})
    [found] = check_env(pack, EnvSettings(), steps=50)
    assert found.state == "failed"
    assert said in found.detail


def test_money_from_nowhere_is_found(pack: ViewPack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A micro added to the cash of a row is one too many."""
    step = MarketVectorEnv.step_into

    def spoiled(self: MarketVectorEnv, actions: Any, batch: Any) -> None:
        step(self, actions, batch)
        self._traders["account"]["cash"][1] += 1

    monkeypatch.setattr(MarketVectorEnv, "step_into", spoiled)
    monkeypatch.setattr(checks, "CHECKS", {"money": CHECKS["money"]})
    [found] = check_env(pack, EnvSettings(), steps=50)
    assert found.state == "failed"
    assert "the fills make" in found.detail


def test_a_slow_start_is_found(pack: ViewPack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {"starts": CHECKS["starts"]})
    ticks = count()
    [found] = check_env(pack, EnvSettings(), clock=lambda: next(ticks) * 2e-3)
    assert (found.state, found.detail) == ("failed", "ContractError: an episode starts in 2.00 ms, expected below 1 ms")


@pytest.mark.slow
def test_another_library_trains_on_it(pack: ViewPack, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stable_baselines3")
    monkeypatch.setattr(checks, "CHECKS", {"stable-baselines3": CHECKS["stable-baselines3"]})
    [found] = check_env(pack, EnvSettings())
    assert found.state == "ok", found.detail
    assert "2,048" in found.detail


def test_without_a_decision_point_there_is_nothing_to_check() -> None:
    with pytest.raises(NothingToDo, match="decision point"):
        made(pack_of(book(0, bids={45: 10}, asks={48: 10})))
