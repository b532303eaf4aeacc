"""Judge policies on a session of a store: the same work as `kalshi-ray evaluate`, as a job for a cluster.

ray job submit --working-dir . -- python jobs/evaluate.py --session NAME --policy BUNDLE --evaluation.workers 8
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kalshi_ray import config
from kalshi_ray.cli.settings import settings_type
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import KalshiRayError
from kalshi_ray.evaluate.job import evaluate_on_session, write_report
from kalshi_ray.registry import open_registry

SECTIONS = ("places", "selection", "causal", "split", "env", "evaluation")


def main() -> int:
    """Load the settings, judge and write the report; 3 when a gate stays closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", required=True, help="name of a session in places.store")
    parser.add_argument("--policy", action="append", default=[], help="bundle, baseline or module:Class; may repeat")
    parser.add_argument("--config", help="settings in TOML; options like --env.entry_ms 50 win over it")
    given, rest = parser.parse_known_args()
    settings = config.load(settings_type(SECTIONS), path=given.config, options=config.options_of(rest)).value
    judged = evaluate_on_session(
        open_store(settings.places.store).open(given.session),
        given.policy,
        settings.evaluation,
        env=settings.env,
        selection=settings.selection,
        causal=settings.causal,
        split=settings.split,
        bundles=open_registry(settings.places.registry).load,
    )
    print(*write_report(judged, Path(settings.places.reports) / given.session), sep="\n")
    for name, gate in ((policy.name, gate) for policy in judged.report.judged for gate in policy.gates):
        print(f"{name}: {gate.name} gate {'open' if gate.is_open else 'closed'}: {'; '.join(gate.reasons)}")
    return 0 if judged.report.gates_open or not given.policy else 3


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KalshiRayError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
