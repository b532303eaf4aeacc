"""Raw lines on their way from the spool into the store: the same lines, packed where there is time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kalshi_ray.collect.facts import Facts
from kalshi_ray.collect.keeper import Keeper
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.core.units import SECOND
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.verify import verify_session
from tests.collect.crash_disk import CrashDisk, Medium
from tests.collect.spooling import MARKETS, block_at, lines_of
from tests.data.stores import store_of_kind

BLOCKS, ROWS = 200, 5


def recorded(store: SessionStore, pause_ns: int) -> tuple[bytes, bytes]:
    """The raw lines of many small blocks with so much time between their rows: as they came, and as they are stored."""
    disk = CrashDisk(Medium(), random.Random(0))
    keeper = Keeper(store, "s", disk.folder, Manifest(id="s", source="collect"), CollectSettings(), disk=disk)
    keeper.start()
    keeper.note(Facts(markets=MARKETS.markets))
    blocks = [
        block_at(
            [(number * ROWS + at + 1) * pause_ns for at in range(ROWS)], number * ROWS, is_last=number == BLOCKS - 1
        )
        for number in range(BLOCKS)
    ]
    keeper.append(blocks)
    keeper.finish()
    session = store.open("s")
    assert verify_session(store, "s").is_whole
    (name,) = session.raw_parts
    return b"".join(block.raw for block in blocks), session.raw_part(name)


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return store_of_kind("memory", tmp_path)


def test_what_came_at_the_pace_of_an_exchange_is_stored_packed(store: SessionStore) -> None:
    came, stored = recorded(store, SECOND)
    assert lines_of(stored) == lines_of(came) == [str(number) for number in range(BLOCKS * ROWS)]
    assert len(stored) < 0.5 * len(came)


def test_what_came_faster_than_it_could_be_packed_is_stored_as_it_came(store: SessionStore) -> None:
    came, stored = recorded(store, 1_000)
    assert stored == came
