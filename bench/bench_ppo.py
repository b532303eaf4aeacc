"""PPO end to end with the documents' network and hyperparameters, beside what else one could use for it."""

from __future__ import annotations

from functools import cache

from bench.byhand import HandWritten
from bench.contestants import FOREVER, Entry, Ours, StableBaselines, rates, source_of
from bench.figures import Figure, Measured, amount
from kalshi_ray.train.settings import TrainSettings

DOCUMENTS = TrainSettings(preset="documents", steps=FOREVER, seed=1, threads=1, split_towers=False)
SPLIT = TrainSettings(preset="documents", steps=FOREVER, seed=1, threads=1, split_towers=True)
STOCK = TrainSettings(
    preset="documents", steps=FOREVER, seed=1, threads=1, split_towers=False, runner="stock", learner="stock"
)
NUMBERS = DOCUMENTS.resolved()
REPEATS = 9
ENVS = (16, 64)
THREADS = (1, 2)


def entries() -> dict[str, Entry]:
    """Everyone who takes part."""
    sb3 = {
        f"SB3 {envs} envs, {threads} threads": Entry(lambda envs=envs: StableBaselines(NUMBERS, envs=envs), threads)
        for envs in ENVS
        for threads in THREADS
    }
    return {
        "ours 1": Entry(lambda: Ours(DOCUMENTS)),
        "hand 1": Entry(lambda: HandWritten(source_of(DOCUMENTS), NUMBERS, split=False)),
        "ours 2": Entry(lambda: Ours(SPLIT)),
        "hand 2": Entry(lambda: HandWritten(source_of(SPLIT), NUMBERS, split=True)),
        # Its own default precision: it has no setting for it.
        "stock": Entry(lambda: Ours(STOCK), matmul="highest"),
        **sb3,
    }


@cache
def contest() -> dict[str, float]:
    """All in one run."""
    return rates(entries(), repeats=REPEATS)


def one_thread() -> Measured:
    """Ours beside the loop by hand."""
    found = contest()
    return Measured(found["ours 1"], found["hand 1"], "batch 4,096, minibatch 256, 10 epochs, 256-256-128")


def two_threads() -> Measured:
    """The same with a tower for each thread."""
    found = contest()
    return Measured(found["ours 2"], found["hand 2"], "split towers")


def stock() -> Measured:
    """Ours with one thread beside RLlib's own runner and learner."""
    found = contest()
    return Measured(found["ours 1"], found["stock"], "one thread each")


def stable_baselines() -> Measured:
    """Our best setting beside SB3's best."""
    found = contest()
    theirs = {name: rate for name, rate in found.items() if name.startswith("SB3")}
    each = ", ".join(f"{name.removeprefix('SB3 ')}: {amount(rate)}" for name, rate in theirs.items())
    return Measured(max(found["ours 1"], found["ours 2"]), max(theirs.values()), each)


FIGURES = [
    Figure(name="PPO, documents, one thread", unit="steps/s", measure=one_thread, peer="by hand", ratio_floor=0.95),
    Figure(name="PPO, documents, two threads", unit="steps/s", measure=two_threads, peer="by hand", ratio_floor=0.85),
    Figure(name="PPO, documents, beside RLlib", unit="steps/s", measure=stock, peer="stock RLlib", ratio_floor=3.0),
    Figure(name="PPO, documents, beside SB3", unit="steps/s", measure=stable_baselines, peer="SB3", ratio_floor=1.7),
]
