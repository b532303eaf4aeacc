"""How good a policy has become: its share of the oracle's fill edge on planted markets that no training sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from bench.contestants import ENV
from bench.sessions import pack_of, session_of
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.splits import SplitSettings, split_views
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.evaluate.compose import ledger_of
from kalshi_ray.evaluate.edge import Truth, edge_by_market, fill_edges
from kalshi_ray.evaluate.job import truth_of
from kalshi_ray.evaluate.shards import curve_times, play, shards_of
from kalshi_ray.policy.inference import Network, NetworkPolicy
from kalshi_ray.policy.oracle import Oracle
from kalshi_ray.policy.protocol import Policy

# As in the quickstart: four waves of markets, the later two to judge on.
MARKETS = SynthSettings(regime="planted", markets=192, hours=0.5, waves=4, seed=1)
HALVES = SplitSettings(by="both", train=0.5, validation=0.5, test=0.0)
JUDGED = 48


@dataclass(frozen=True)
class Exam:
    """Markets to train on, others to be judged on, and what the oracle earns there."""

    pack: ViewPack
    train: NDArray[np.int32]
    judged: NDArray[np.int32]
    truth: Truth
    _best: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, settings: SynthSettings = MARKETS, *, judged: int = JUDGED) -> Exam:
        """Both halves of the generated session, `judged` of the later one."""
        pack, truth = pack_of(settings), truth_of(session_of(settings))
        assert truth is not None
        parts = split_views(pack, HALVES)
        made = cls(pack, parts.train, parts.validation[:: max(1, len(parts.validation) // judged)][:judged], truth)
        made._best.append(made.edge(Oracle.of(session_of(settings).manifest.origin)))
        return made

    def edge(self, policy: Policy) -> float:
        """Fill edge in dollars, summed over the judged markets: whole, at full cost."""
        env = msgspec.structs.replace(ENV, start="whole", max_decisions=0)
        shards = shards_of(self.judged, np.full(len(self.judged), -1, np.int64), len(self.judged))
        times = curve_times(self.pack, self.judged, 2)
        played = [play(self.pack, policy, env, shard, times, rows=64, seed=0, markouts_s=()) for shard in shards]
        ledger = ledger_of(self.pack, shards, played, times, policy=policy.name, fill_model=env.fill_model)
        rows = self.pack.views["market"][self.judged]
        return float(edge_by_market(ledger, fill_edges(ledger, self.truth, rows)).sum()) / 1e6

    def share(self, network: Network) -> float:
        """Of the oracle's edge, by the greedy policy."""
        return self.edge(NetworkPolicy("judged", network)) / self._best[0]


def network_of(layers: Sequence[torch.nn.Module]) -> Network:
    """The linear layers of a torch policy with ReLU between them."""
    linear = [part for layer in layers for part in layer.modules() if isinstance(part, torch.nn.Linear)]
    arrays = [(part.weight.detach().numpy().copy(), part.bias.detach().numpy().copy()) for part in linear]
    return Network.pack(arrays, activation="relu")
