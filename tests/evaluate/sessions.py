"""A small synthetic session as a pack with its truth, made once for all tests of the runner."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.views import build_pack_from_tables
from kalshi_ray.evaluate.edge import Truth, truth_from


@cache
def small_session(regime: str = "planted", markets: int = 10, hours: float = 0.05) -> tuple[ViewPack, Truth]:
    """`markets` markets of a few minutes each; the same bytes every time."""
    state = start(SynthSettings(regime=regime, markets=markets, hours=hours, seed=3))  # type: ignore[arg-type]
    updates, truths = zip(*run(state), strict=True)
    truth = pa.concat_tables(truths)
    pack = build_pack_from_tables(state.table, pa.concat_tables(updates), Manifest(id="small", source="synthetic"))
    return pack, truth_from(*(truth[name].to_numpy() for name in ("market", "exch_ns", "p")))
