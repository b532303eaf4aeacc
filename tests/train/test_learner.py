"""The minibatch loop."""

from __future__ import annotations

import torch

from kalshi_ray.train.learner import Tower, run_epochs
from kalshi_ray.train.losses import Loss, Losses
from tests.train.minibatch import columns, module


def test_every_step_is_used_once_an_epoch_and_a_short_rest_is_left_out() -> None:
    met: list[torch.Tensor] = []
    looked: list[torch.Tensor] = []
    weight = torch.nn.Parameter(torch.zeros(1))

    def loss(index: torch.Tensor) -> Loss:
        met.append(index)
        return (weight * index.mean()).sum(), lambda: looked.append(index) or {"mean": index.mean()}

    tower = Tower(
        name="policy",
        parameters=[weight],
        optimizer=torch.optim.SGD([weight], lr=0.0),
        loss=loss,
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
    losses = Losses(made, entropy=0.0, clip=10.0, value_coeff=0.5)
    parameters = list(made.policy.parameters())
    before = float(losses.policy(**given)[0])
    tower = Tower(
        name="policy",
        parameters=parameters,
        optimizer=torch.optim.Adam(parameters, lr=1e-3),
        loss=losses.policy,
        columns=tuple(given.values()),
        generator=torch.Generator().manual_seed(0),
    )
    run_epochs(tower, 5, 32, None)
    assert float(losses.policy(**given)[0]) < before
