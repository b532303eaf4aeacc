"""Plans of faults for recorders and collectors: every kind of fault, or some of them often, by seed."""

from __future__ import annotations

import random

from kalshi_ray.exchange.simulator.faults import FaultPlan


def mixed_plan(seed: int, **most: float) -> FaultPlan:
    """Each kind with none, a third, or all of its `most`; the clocks differ by up to three seconds."""
    chance = random.Random(seed)
    some = {kind: share * chance.choice((0.0, 0.3, 1.0)) for kind, share in most.items()}
    return FaultPlan(seed=seed, **some, skew_s=chance.uniform(-3, 3))
