"""What every test runs under: fixed seeds, no deadline on a shared machine, and no setting of the caller's shell.

And what makes the run short: one Ray for all files that can share it, and the longest files first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.examples import MANY

# A property that names no number is tried 40 times; `--hypothesis-profile many` is for changes of what it is about.
settings.register_profile(
    "fixed", derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(MANY, settings.get_profile("fixed"), max_examples=200)
settings.load_profile("fixed")

RECORDED = Path(os.environ.get("KALSHI_RAY_RECORDED") or Path(__file__).parents[2] / "shared" / "data" / "kalshi")


# What the caller's shell may hold of other databases, keys, clusters, ways into the net, and terminals.
FOREIGN = {
    "database_url", "kalshi_private_key", "ray_address", "http_proxy", "https_proxy", "all_proxy",
    "force_color", "no_color", "clicolor_force", "tty_compatible", "tty_interactive", "columns", "lines",
}  # fmt: skip

# Few and long tests: at the end of a run they would leave other workers idle. Those that share a Ray stand together.
SHARE_RAY = (
    "train/test_faults.py",
    "learning/test_learning.py",
    "train/test_run.py",
    "train/test_job.py",
    "train/test_loop.py",
    "cli/test_train.py",
    "train/test_ablations.py",
    "train/test_walk_forward.py",
    "train/test_diagnostics.py",
    "train/test_validation.py",
    "train/test_algorithms.py",
    "data/test_view_store.py",
)
LONGEST = (
    "test_a_day.py",
    "data/test_store_crash.py",
    "test_docs.py",
    "data/test_catalog_losses.py",
    "collect/test_collector_crash.py",
    "collect/test_collector_shards.py",
    "collect/test_recorder_faults.py",
    "evaluate/test_run.py",
    "exchange/test_feed_faults.py",
    "train/test_ray_session.py",
    "collect/test_crash.py",
    "collect/test_collector_waits.py",
    "collect/test_collector.py",
    "parity/test_hftbacktest.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files above first, in this order."""
    place = {Path(__file__).parent / name: at for at, name in enumerate(SHARE_RAY + LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def _kept() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def shared_ray(_kept: ExitStack) -> None:
    """A Ray of two processors, which stays for the next file that asks for one."""
    import ray

    from kalshi_ray.train.ray_session import RaySettings, ray_session

    if not ray.is_initialized():
        _kept.enter_context(ray_session(RaySettings(address="local", cpus=2, store_mib=300)))


@pytest.fixture(scope="module", autouse=True)
def _shared_ray_ends(request: pytest.FixtureRequest, _kept: ExitStack) -> None:
    """Other files begin without it: some start a Ray of their own."""
    if Path(request.node.path) not in {Path(__file__).parent / name for name in SHARE_RAY}:
        _kept.close()


@pytest.fixture(scope="session", autouse=True)
def _unset_settings() -> Iterator[None]:
    """Before any fixture of a file, and for the processes that tests begin."""
    with pytest.MonkeyPatch.context() as patched:
        for name in list(os.environ):
            if name.lower() in FOREIGN or name.startswith("PG") or (name.startswith("KALSHI_RAY_") and "__" in name):
                patched.delenv(name)
        yield


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded data, which is not part of the repository; the test is skipped where it is absent."""
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded data at {RECORDED}; name the folder with KALSHI_RAY_RECORDED")
    return RECORDED
