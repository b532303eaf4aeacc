"""What every test runs under: fixed seeds, no deadline on a shared machine, and no setting of the caller's shell."""

from __future__ import annotations

import os
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


@pytest.fixture(autouse=True)
def _unset_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name == "DATABASE_URL" or (name.startswith("KALSHI_RAY_") and "__" in name):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded data, which is not part of the repository; the test is skipped where it is absent."""
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded data at {RECORDED}; name the folder with KALSHI_RAY_RECORDED")
    return RECORDED
