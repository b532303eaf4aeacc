"""Memory: bytes of an update in the object store, and one copy on a node for however many env runners."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import ray
from ray.experimental import get_object_locations

from bench.figures import Figure, Measured
from bench.sessions import CALIBRATED, pack_of
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.view_store import get_pack, put_pack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.train.ray_session import RaySettings, ray_session

RUNNERS = (1, 2, 4)
MIB = 2**20
LARGE = msgspec.structs.replace(CALIBRATED, markets=4 * CALIBRATED.markets)


@dataclass(frozen=True)
class Node:
    """Proportional set sizes in bytes, over this process, Ray's own and the runners: shared pages count once."""

    total: int
    shared: int  # of it, shared memory


@dataclass(frozen=True)
class Found:
    """What one Ray session showed."""

    rows: int
    stored: int  # bytes of the pack in the object store
    before: Node  # no pack yet
    nodes: dict[int, Node]  # by number of runners

    def copies(self, runners: int) -> float:
        """Shared memory in use over the size of the pack."""
        return (self.nodes[runners].shared - self.before.shared) / self.stored


class Runner:
    """An env runner as far as memory goes: 64 rows on the stored pack, and every byte of the pack read once."""

    def __init__(self, pack: ViewPack, reference: list[Any]) -> None:
        del pack  # holds the object until the constructor has run
        self.env = MarketVectorEnv(get_pack(reference[0]), EnvSettings(start="random"), num_envs=64)

    def play(self) -> int:
        """Read everything and step for a while."""
        pack = self.env.pack
        arrays = (getattr(pack, field.name) for field in fields(pack))
        read = sum(int(a.view(np.uint8).max(initial=0)) for a in arrays if isinstance(a, np.ndarray) and a.size)
        batch, hold = self.env.new_batch(), np.zeros(64, np.int64)
        self.env.reset_into(batch)
        for _ in range(100):
            self.env.step_into(hold, batch)
        return read


@cache
def measured() -> Found:
    """One Ray session with 1, 2 and 4 runners at a time."""
    pack = pack_of(LARGE)
    with ray_session(RaySettings(address="local", store_mib=pack.nbytes // MIB + 256)):
        before = node()
        reference = put_pack(pack)
        actor = ray.remote(num_cpus=0)(Runner)
        runners: list[Any] = []
        nodes = {}
        for count in RUNNERS:
            while len(runners) < count:
                runners.append(actor.remote(reference, [reference]))
            ray.get([runner.play.remote() for runner in runners])
            nodes[count] = node()
        stored = int(get_object_locations([reference])[reference]["object_size"])
    return Found(len(pack.updates), stored, before, nodes)


def node() -> Node:
    """The sums over this process and all that descend from it."""
    total = shared = 0
    for process in descendants(os.getpid()):
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE)}
        total += sizes["Pss"]
        shared += sizes["Pss_Shmem"]
    return Node(total, shared)


def descendants(process: int) -> list[int]:
    """A process, its children, theirs, and so on."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = [process]
    for one in found:
        found += parents.get(one, [])
    return found


def bytes_per_update() -> Measured:
    """What the object store holds for one update, keyframes and tables included."""
    found = measured()
    return Measured(found.stored / found.rows, note=f"{found.stored / MIB:.0f} MiB for {found.rows:,} updates")


def copies() -> Measured:
    """Copies of the pack on the node, all processes counted."""
    found = measured()
    each = ", ".join(f"{count}: {found.copies(count):.3f}" for count in RUNNERS)
    return Measured(found.copies(RUNNERS[-1]), note=f"copies by runners {each}")


def one_more_runner() -> Measured:
    """Proportional memory that each runner after the first adds: interpreter, libraries, rows; not the pack."""
    found = measured()
    first, last = found.nodes[RUNNERS[0]], found.nodes[RUNNERS[-1]]
    more = RUNNERS[-1] - RUNNERS[0]
    note = f"of it shared memory {(last.shared - first.shared) / more / MIB:.1f}; the pack has {found.stored / MIB:.0f}"
    return Measured((last.total - first.total) / more / MIB, note=note)


FIGURES = [
    Figure(name="views in the object store", unit="bytes/update", measure=bytes_per_update, ceiling=24.0),
    Figure(name="copies of the views on a node, 4 runners", unit="copies", measure=copies, ceiling=1.1),
    Figure(name="memory of one more runner", unit="MiB", measure=one_more_runner),
]
