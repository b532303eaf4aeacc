"""Small generated sessions in a store: planted markets, three minutes of two waves."""

from __future__ import annotations

from kalshi_ray.data.selection import SuitabilitySettings
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import synthesize

SUITABLE = SuitabilitySettings(min_quarters=1, min_decisions=20)
START_NS = SynthSettings().start_ns


def small_session(store: SessionStore, name: str, *, seed: int, markets: int = 12, later_s: int = 0) -> Session:
    """Every market is an event; its name says the seed."""
    start_ns = START_NS + later_s * 10**9
    settings = SynthSettings(regime="planted", markets=markets, waves=2, hours=0.05, seed=seed, start_ns=start_ns)
    synthesize(store, name, settings)
    return store.open(name)
