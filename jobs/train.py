"""Train on a session of a store: the same work as `kalshi-ray train`, as a job for a cluster.

ray job submit --working-dir . -- python jobs/train.py --session NAME --config jobs/train.toml --train.steps 2000000
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from kalshi_ray import config
from kalshi_ray.cli.settings import settings_type
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import KalshiRayError
from kalshi_ray.train.job import name_run, train_on_session
from kalshi_ray.train.ray_session import ray_session

SECTIONS = ("places", "selection", "split", "env", "train", "ray")


def main() -> int:
    """Load the settings and train; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", required=True, help="name of a session in places.store")
    parser.add_argument("--config", help="settings in TOML; options like --train.steps 5 win over it")
    parser.add_argument("--run", help="name of the run; by default time, preset and seed")
    given, rest = parser.parse_known_args()
    settings = config.load(settings_type(SECTIONS), path=given.config, options=options(rest)).value
    with ray_session(settings.ray):
        trained = train_on_session(
            open_store(settings.places.store).open(given.session),
            settings.train,
            env=settings.env,
            selection=settings.selection,
            split=settings.split,
            run_dir=Path(settings.places.runs) / (given.run or name_run(settings.train)),
        )
    result = trained.result
    print(f"trained {result.steps} steps on {trained.trained_on} markets at {result.steps_per_s:,.0f} a second")
    print(result.bundle)
    if result.status == "stopped":
        print(f"{result.why}; to go on: {result.how_to_go_on}")
    return result.exit_code


def options(rest: list[str]) -> Iterator[tuple[str, str]]:
    """`--train.steps 5` and `--train.steps=5` as (dotted key, text)."""
    queue = iter(rest)
    for name in queue:
        key, equals, text = name.removeprefix("--").partition("=")
        yield key, text if equals else next(queue, "")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KalshiRayError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
