"""Generated sessions that several benchmarks share, made once per process."""

from __future__ import annotations

from functools import cache

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.synthetic.settings import SynthSettings
from kalshi_ray.data.views import build_pack_from_tables


@cache
def pack_of(*, markets: int, updates: int, regime: str = "calibrated", seed: int = 1) -> ViewPack:
    """Full-depth views of about so many updates in all."""
    settings = SynthSettings(
        regime=regime,  # type: ignore[arg-type] # refused by the settings themselves if wrong
        markets=markets,
        updates=updates,
        waves=min(4, markets),
        strikes=1,
        seed=seed,
    )
    state = start(settings)
    batches = [batch for rows, _ in run(state) for batch in rows.to_batches()]
    return build_pack_from_tables(state.table, batches, Manifest(id=f"bench-{markets}", source="synthetic"))
