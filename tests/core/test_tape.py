"""The pack of views: read-only, and its size is what it says."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from kalshi_ray.core.tape import KEYFRAME, LEVEL, SIBLING, UPDATE, VIEW, Kind, ViewPack


def pack() -> ViewPack:
    return ViewPack(
        session="s",
        checksum="c",
        tickers=("M",),
        events=("E",),
        updates=np.zeros(5, UPDATE),
        views=np.zeros(1, VIEW),
        keyframes=np.zeros(2, KEYFRAME),
        levels=np.zeros(3, LEVEL),
        axes=np.zeros((1, 99), np.int32),
        grids=np.ones((1, 99), np.uint8),
        values=np.zeros(1, np.int64),
        siblings=np.zeros(0, SIBLING),
        sibling_start=np.zeros(2, np.int64),
    )


def test_an_update_takes_twenty_bytes() -> None:
    assert UPDATE.itemsize == 20


def test_every_array_of_a_pack_is_locked() -> None:
    made = pack()
    for item in fields(made):
        array = getattr(made, item.name)
        if isinstance(array, np.ndarray):
            assert not array.flags.writeable
    with pytest.raises(FrozenInstanceError):
        made.session = "other"  # type: ignore[misc]


def test_a_pack_knows_its_largest_axis_and_its_bytes() -> None:
    made = pack()
    assert made.max_levels == 99
    arrays = 5 * 20 + VIEW.itemsize + 2 * KEYFRAME.itemsize + 3 * LEVEL.itemsize + 99 * 4 + 99 + 8 + 16
    assert made.nbytes == arrays


def test_book_rows_and_prints_come_before_all_other_kinds() -> None:
    """Kernels tell them by `kind < GAP`."""
    assert [kind.name for kind in sorted(Kind) if kind < Kind.GAP] == [
        "SNAPSHOT_LEVEL",
        "SNAPSHOT_END",
        "DELTA",
        "TRADE",
    ]
