"""The minibatch loop."""

from __future__ import annotations

from functools import partial

import torch

from kalshi_ray.train.adam import FlatAdam
from kalshi_ray.train.learner import Tower, run_epochs
from kalshi_ray.train.losses import Losses, Seen
from kalshi_ray.train.passes import passes_of
from tests.train.minibatch import columns, module


def test_every_step_is_used_once_an_epoch_and_a_short_rest_is_left_out() -> None:
    met: list[torch.Tensor] = []
    looked: list[torch.Tensor] = []

    def gradient(index: torch.Tensor) -> Seen:
        met.append(index)
        return lambda: looked.append(index) or {"mean": index.mean()}

    tower = Tower(
        name="policy",
        optimizer=FlatAdam([torch.nn.Parameter(torch.zeros(1))]),
        gradient=gradient,
        columns=(torch.arange(50, dtype=torch.float32),),
        generator=torch.Generator().manual_seed(0),
    )
    seen = run_epochs(tower, 3, 16, 0.5)
    assert [len(index) for index in met] == [16] * 9
    assert all(len(set(torch.cat(met[at : at + 3]).tolist())) == 48 for at in (0, 3, 6))
    assert set(seen) == {"mean", "policy_grad_norm"}
    assert looked == met[6:], "figures are worked out in the last epoch only"


def test_a_learning_step_lowers_the_loss() -> None:
    made, given = module(), columns()
    optimizer = FlatAdam(made.policy.parameters(), lr=1e-3)
    losses, passes = Losses(entropy=0.0, clip=10.0, value_coeff=0.5), passes_of(made, "policy", 32)
    tower = Tower(
        name="policy",
        optimizer=optimizer,
        gradient=partial(losses.policy, passes),
        columns=tuple(given.values()),
        generator=torch.Generator().manual_seed(0),
    )
    before = run_epochs(tower, 1, 32, None)["policy_loss"]
    assert run_epochs(tower, 5, 32, None)["policy_loss"] < before
