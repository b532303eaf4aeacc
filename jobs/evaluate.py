"""Judge policies on sessions of a store: the same work as `kalshi-ray evaluate`, as a job for a cluster.

ray job submit --working-dir . -- python jobs/evaluate.py --session NAME --policy BUNDLE --evaluation.workers 8
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kalshi_ray import config
from kalshi_ray.cli.settings import SECTIONS as EVERY_SECTION
from kalshi_ray.cli.settings import settings_type
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import KalshiRayError
from kalshi_ray.evaluate.job import evaluate_on_session, require_gate, write_reports
from kalshi_ray.registry import open_registry

SECTIONS = ("places", "selection", "causal", "split", "env", "evaluation")


def main() -> int:
    """Load the settings, judge, write the reports, and end with 3 where a judged policy does not pass its gate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", action="append", required=True, help="session in places.store; may repeat")
    parser.add_argument("--policy", action="append", default=[], help="bundle, baseline or module:Class; may repeat")
    parser.add_argument("--config", help="settings in TOML; options like --env.entry_ms 50 win over it")
    given, rest = parser.parse_known_args()
    others = [name for name in EVERY_SECTION if name not in SECTIONS]  # may stand in the file and are not looked at
    kind, options = settings_type(SECTIONS), config.options_of(rest)
    settings = config.load(kind, path=given.config, options=options, others=others).value
    store, registry = open_store(settings.places.store), open_registry(settings.places.registry)
    judged = [
        evaluate_on_session(
            session,
            given.policy,
            settings.evaluation,
            env=settings.env,
            selection=settings.selection,
            causal=settings.causal,
            split=settings.split,
            bundles=registry.load,
            registry=registry,
        )
        for session in [store.open(name) for name in given.session]
    ]
    print(*write_reports(judged, Path(settings.places.reports) / "-".join(given.session)), sep="\n")
    require_gate([one.report for one in judged], settings.evaluation.gate)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KalshiRayError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
