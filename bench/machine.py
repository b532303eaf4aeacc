"""Where and how time is taken: one core, one thread, and chunks short enough to fall between two interruptions.

A piece of work is a generator. Each `yield True` ends a chunk, `yield False` ends a preparation that is not timed. A
pass over the work is repeated, and each chunk counts with its median over the passes: what a busy machine does to some
chunks does not count, what the work itself does now and then (an episode ends) does.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from bench.figures import Measured, amount

Work = Callable[[], Iterator[bool]]


@dataclass(frozen=True)
class Timed:
    """Seconds of one pass over a piece of work."""

    median: float
    best: float
    cpu: float  # on the processor's clock; a median
    chunks: NDArray[np.float64]  # [C] median of each chunk; empty for a call

    def rate(self, count: int) -> Measured:
        """`count` things a second, with the best and the one by CPU time in the note."""
        return Measured(count / self.median, note=self.rates(count))

    def rates(self, count: int) -> str:
        """The best and the one by CPU time, in words."""
        return f"best {amount(count / self.best)}, by CPU time {amount(count / self.cpu)}"


def timed(*works: Work, passes: int = 7) -> list[Timed]:
    """Passes over several works in turns, so that a slow moment of the machine meets all of them."""
    walls: list[list[list[float]]] = [[] for _ in works]
    used: list[list[float]] = [[] for _ in works]
    for _ in range(passes):
        for work, wall, cpu in zip(works, walls, used):
            seconds, spent = _one_pass(work)
            wall.append(seconds)
            cpu.append(spent)
    return [_summed(np.array(wall), cpu) for wall, cpu in zip(walls, used)]


def _one_pass(work: Work) -> tuple[list[float], float]:
    seconds, spent = [], 0.0
    cpu_began, began = time.thread_time(), time.perf_counter()
    for counts in work():
        ended, cpu_ended = time.perf_counter(), time.thread_time()
        if counts:
            seconds.append(ended - began)
            spent += cpu_ended - cpu_began
        cpu_began, began = time.thread_time(), time.perf_counter()
    return seconds, spent


def _summed(walls: NDArray[np.float64], cpu: list[float]) -> Timed:
    medians = np.median(walls, axis=0)
    return Timed(float(medians.sum()), float(walls.min(axis=0).sum()), statistics.median(cpu), medians)


def called(call: Callable[[], object], *, repeats: int = 5) -> Timed:
    """The same for a call that cannot be cut into chunks; CPU time of all threads of the process."""
    walls, cpu = [], []
    for _ in range(repeats):
        used, began = time.process_time(), time.perf_counter()
        call()
        walls.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return Timed(statistics.median(walls), min(walls), statistics.median(cpu), np.empty(0))


@contextmanager
def one_core() -> Iterator[None]:
    """Keep all threads of this process on one core, and the libraries at one thread each."""
    allowed = os.sched_getaffinity(0)
    arrow, arrow_io, torch_threads = pa.cpu_count(), pa.io_thread_count(), torch.get_num_threads()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    torch.set_num_threads(1)
    _keep_on({max(allowed)})
    try:
        yield
    finally:
        _keep_on(allowed)
        pa.set_cpu_count(arrow)
        pa.set_io_thread_count(arrow_io)
        torch.set_num_threads(torch_threads)


def on_one_core(measure: Callable[[], Measured]) -> Callable[[], Measured]:
    """The same measurement on one core."""

    def measured() -> Measured:
        with one_core():
            return measure()

    return measured


def _keep_on(cores: Iterable[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # the thread has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)
