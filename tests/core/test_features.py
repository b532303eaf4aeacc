"""The table of features and the layouts that choose from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalshi_ray.core import features
from kalshi_ray.core.features import (
    EXTENDED,
    FACTS,
    FEATURE_INDEX,
    FEATURES,
    MARKET,
    OBSERVATIONS,
    ORDER,
    PORTFOLIO,
    PORTFOLIO_MORE,
    TEMPORAL,
    TEMPORAL_MORE,
    observation,
)
from kalshi_ray.errors import UnknownName

FINGERPRINTS = {"obs54": "5d4c5013b9c0ab1f", "obs52": "7dc3b4a892100fdb", "obs-x": "2d28e277ec7c8c1a"}


def test_fingerprints_do_not_change_by_accident() -> None:
    """A changed fingerprint makes every bundle of that layout unloadable: say so under *Models* in the changelog."""
    assert {name: spec.fingerprint for name, spec in OBSERVATIONS.items()} == FINGERPRINTS


def test_a_fingerprint_covers_names_formulas_and_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = observation("obs54")
    for change in ({"formula": "another"}, {"high": 9.0}, {"low": -9.0}, {"unit": "c"}):
        changed = (replace(FEATURES[0], **change), *FEATURES[1:])
        monkeypatch.setattr(features, "FEATURES", changed)
        assert spec.fingerprint != FINGERPRINTS["obs54"]
    monkeypatch.undo()
    assert replace(spec, names=spec.names[::-1]).fingerprint != FINGERPRINTS["obs54"]
    assert replace(spec, name="another").fingerprint == FINGERPRINTS["obs54"]


@pytest.mark.parametrize(("name", "size"), [("obs54", 54), ("obs52", 52), ("obs-x", len(FEATURES))])
def test_a_layout_has_its_size_and_its_bounds(name: str, size: int) -> None:
    spec = observation(name)
    assert spec.size == len(spec.names) == len(set(spec.names)) == size
    assert [feature.name for feature in spec.features] == list(spec.names)
    assert [FEATURES[at].name for at in spec.index] == list(spec.names)
    assert spec.low.dtype == spec.high.dtype == np.float32
    assert (spec.low < spec.high).all()


def test_the_blocks_have_the_sizes_of_the_documents() -> None:
    """obs54: 28 market, 10 temporal, 11 portfolio, 5 order. obs52: 21, 14, 12, 5."""
    assert [len(block) for block in (MARKET, TEMPORAL, PORTFOLIO, ORDER)] == [28, 10, 11, 5]
    names = observation("obs52").names
    blocks = [(*MARKET,), (*TEMPORAL, *TEMPORAL_MORE), (*PORTFOLIO, *PORTFOLIO_MORE), (*ORDER,)]
    assert [len([n for n in names if n in {f.name for f in block}]) for block in blocks] == [21, 14, 12, 5]
    assert set(observation("obs-x").names) == set(FEATURE_INDEX) >= {f.name for f in EXTENDED}


def test_both_document_layouts_flag_a_missing_side() -> None:
    for name in ("obs54", "obs52"):
        assert {"bid_missing", "ask_missing"} <= set(observation(name).names)


def test_every_feature_is_one_float_of_the_facts() -> None:
    assert FACTS.names == tuple(feature.name for feature in FEATURES)
    assert FACTS.itemsize == 4 * len(FEATURES)
    assert all(feature.unit and feature.formula for feature in FEATURES)


def test_an_unknown_layout_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"no observation layout named 'obs55'.*obs54, obs52, obs-x"):
        observation("obs55")
