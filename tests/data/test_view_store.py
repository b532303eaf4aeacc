"""One copy of a pack per node, however many processes read it."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import numpy as np
import pytest
import ray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.view_store import get_pack, put_pack
from tests.data.pack_tables import BID, delta, end, pack_of

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def large_pack() -> ViewPack:
    """About 40 MB: a small session repeated."""
    small = pack_of([end(0), *(delta(i, BID, 100 * (1 + i % 99), 5) for i in range(1, 2_000))])
    pack = ViewPack(**(vars(small) | {"updates": np.tile(small.updates, 1_000)}))
    assert pack.nbytes > 39_000_000
    return pack


def digest(pack: ViewPack) -> str:
    arrays = [array for _, array in sorted(vars(pack).items()) if isinstance(array, np.ndarray)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).view(np.uint8).data for array in arrays)).hexdigest()


def proportional_bytes() -> int:
    """Memory of this process, what is shared counted by its share."""
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@ray.remote(num_cpus=0.5)
class Reader:
    """A process that reads all of a pack."""

    def __init__(self) -> None:
        self.before = proportional_bytes()

    def read(self, references: list[Any]) -> tuple[str, bool, bool]:
        self.pack = get_pack(references[0])
        arrays = [array for array in vars(self.pack).values() if isinstance(array, np.ndarray)]
        return digest(self.pack), any(a.flags.writeable for a in arrays), bool(self.pack.updates.flags.owndata)

    def grown(self) -> int:
        return proportional_bytes() - self.before


def test_two_actors_share_one_read_only_copy(shared_ray: None, large_pack: ViewPack) -> None:
    reference = put_pack(large_pack)
    readers = [Reader.remote() for _ in range(2)]
    for found, writeable, own in ray.get([reader.read.remote([reference]) for reader in readers]):
        assert found == digest(large_pack)
        assert not writeable and not own
    grown = sum(ray.get([reader.grown.remote() for reader in readers]))
    assert grown < 1.5 * large_pack.nbytes, f"{grown:,} bytes for two readers of {large_pack.nbytes:,}"


def test_a_pack_survives_pickling_with_names_and_settings() -> None:
    pack = pack_of([end(0)])
    again = pickle.loads(pickle.dumps(pack))
    assert (again.tickers, again.events, again.depth, again.session) == (pack.tickers, pack.events, "full", "test")
