"""Small runs on the stand-in for the market rows, and a judge whose verdicts are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.numpy

from kalshi_ray.policy.inference import Network
from kalshi_ray.registry.bundle import WEIGHTS
from kalshi_ray.train.run import TrainResult, train
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.validation import Decide, Verdict
from tests.train.toy import ToySource

BATCH = 2_048
SMALL: dict[str, Any] = {"rows": 32, "batch": BATCH, "minibatch": 512, "epochs": 2, "save_freq": 10 * BATCH}
OPTIONS = ("validation", "resume_from", "weights_from", "progress", "reason")


def run(folder: Path, *, batches: int = 2, source: Any = None, **changes: Any) -> TrainResult:
    """`batches` updates of 2,048 steps each; `changes` are settings or arguments of `train`."""
    given = {name: changes.pop(name) for name in OPTIONS if name in changes}
    settings = TrainSettings(**(SMALL | {"steps": batches * BATCH} | changes))
    return train(settings, source or ToySource(length=100), run_dir=folder, **given)


def same(one: TrainResult, two: TrainResult) -> bool:
    """Whether two runs ended with the same weights, to the byte."""
    return (one.bundle / WEIGHTS).read_bytes() == (two.bundle / WEIGHTS).read_bytes()


def tensors(folder: Path) -> dict[str, Any]:
    """The weights of a bundle or a checkpoint."""
    return safetensors.numpy.load((folder / WEIGHTS).read_bytes())


@dataclass
class Verdicts:
    """A judge that says what it was told to, in order, and keeps what it was shown."""

    scores: list[float]
    words: str = "given verdicts"
    shown: list[Network] = field(default_factory=list)

    def describe(self) -> dict[str, object]:
        return {"words": self.words, "markets": 30, "events": 30}

    def begin(self, network: Network, *, decide: Decide, tasks: int) -> Said:
        assert decide == "greedy" and tasks >= 1
        self.shown.append(network)
        return Said(self.scores[len(self.shown) - 1])


@dataclass(frozen=True)
class Said:
    """One verdict under way."""

    score: float

    def verdict(self) -> Verdict:
        return Verdict(
            net_per_market=self.score, markets=30, events=30, trades=1, fills=2, hold_share=0.5, win_rate=None
        )
