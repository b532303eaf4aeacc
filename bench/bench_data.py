"""Sessions and views: generation with Parquet, views from Parquet, bytes, one copy per node."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import ray

from bench.figures import Figure, Measured, in_turns, seconds
from bench.worlds import pack_of
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic.session import synthesize
from kalshi_ray.data.synthetic.settings import SynthSettings
from kalshi_ray.data.view_store import put_pack
from kalshi_ray.data.views import build_pack
from kalshi_ray.train.ray_session import RaySettings, ray_session

UPDATES = 3_000_000


def generation() -> Measured:
    """Updates a second into Parquet, once everything is compiled."""
    settings = SynthSettings(regime="calibrated", markets=96, updates=UPDATES, strikes=1)
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        synthesize(store, "warm", SynthSettings(regime="calibrated", markets=8, hours=0.05, strikes=1))
        for number in range(3):
            took = seconds(lambda number=number: synthesize(store, f"s{number}", settings))  # type: ignore[misc]
            rates.append(store.summary(f"s{number}").rows / took)
    return Measured(float(np.median(rates)))


def views() -> Measured:
    """Updates a second from Parquet to a pack, files in the system's cache."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        manifest = synthesize(store, "s", SynthSettings(regime="calibrated", markets=96, updates=UPDATES, strikes=1))
        session = store.open("s")
        build_pack(session)
        [took] = in_turns([lambda: seconds(lambda: build_pack(session))], repeats=3)
    return Measured(manifest.updates / took)


def bytes_per_update() -> Measured:
    """What one copy of the views costs in the object store."""
    pack = pack_of(markets=96, updates=2_000_000)
    return Measured(pack.nbytes / len(pack.updates))


class Runner:
    """Stands for an env runner: maps the pack and reads all of it."""

    def touch(self, pack: ViewPack) -> int:
        """Read every byte of every array, so that its pages are mapped here."""
        self.pack = pack
        return sum(int(array.view(np.uint8).sum()) for array in (pack.updates, pack.keyframes, pack.levels))

    def shared(self) -> float:
        """Proportional set size of shared memory, in bytes."""
        rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
        found = re.search(r"^Pss_Shmem:\s+(\d+) kB", rollup, re.MULTILINE)
        assert found, "this kernel does not report proportional sizes"
        return float(found.group(1)) * 1024


def copies_on_a_node() -> Measured:
    """Shared memory of four runners together over the size of the views: one copy is 1."""
    pack = pack_of(markets=96, updates=4_000_000)
    sums = []
    with ray_session(RaySettings(address="local", cpus=2, store_mib=1024)):
        reference = put_pack(pack)
        for count in (1, 2, 4):
            runners = [ray.remote(num_cpus=0)(Runner).remote() for _ in range(count)]
            before = sum(ray.get([runner.shared.remote() for runner in runners]))
            ray.get([runner.touch.remote(reference) for runner in runners])
            after = sum(ray.get([runner.shared.remote() for runner in runners]))
            sums.append((after - before) / pack.nbytes)
            for runner in runners:
                ray.kill(runner)
    return Measured(sums[-1], note="1, 2, 4 runners: " + ", ".join(f"{value:.2f}" for value in sums))


FIGURES = [
    Figure(name="synthetic generation with Parquet", unit="updates/s", measure=generation, floor=2e6),
    Figure(name="views from Parquet, warm", unit="updates/s", measure=views, floor=3e6),
    Figure(name="memory of views", unit="bytes/update", measure=bytes_per_update, ceiling=24.0),
    Figure(name="copies of the views for four runners", unit="copies", measure=copies_on_a_node, ceiling=1.1),
]
