"""Generated sessions that the figures share, made once in a run and kept in a temporary folder until its end."""

from __future__ import annotations

import tempfile
from functools import cache

import msgspec

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.synthetic import SynthSettings, synthesize
from kalshi_ray.data.views import build_pack

# A recorded market as far as it is known: full depth, prints, strikes of one event, uneven activity.
CALIBRATED = SynthSettings(regime="calibrated", markets=576, seed=1)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="kalshi-ray-bench-")


def folder() -> str:
    """A folder that is removed at the end of the process."""
    return _folder().name


@cache
def store() -> SessionStore:
    """The store of this run."""
    return open_store(folder() + "/store")


@cache
def session_of(settings: SynthSettings) -> Session:
    """The session that these settings generate."""
    name = f"s{len(store().ids())}"
    synthesize(store(), name, settings)
    return store().open(name)


@cache
def pack_of(settings: SynthSettings) -> ViewPack:
    """The views of that session."""
    return build_pack(session_of(settings))


@cache
def pack_of_size(markets: int, updates: int) -> ViewPack:
    """Independent calibrated markets with about `updates` updates in all, to five per cent."""
    asked = SynthSettings(regime="calibrated", markets=markets, strikes=1, waves=1, updates=updates, seed=1)
    pack = pack_of(asked)
    for _ in range(3):
        if abs(len(pack.updates) / updates - 1) < 0.05:
            break
        # Markets that are nearly decided change less: the generator's estimate can be off.
        asked = msgspec.structs.replace(asked, updates=round(asked.updates * updates / len(pack.updates)))
        pack = pack_of(asked)
    return pack
