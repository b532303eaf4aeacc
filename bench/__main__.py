"""`python -m bench`: one table of all figures; exit code 1 when one misses its bound."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys
import time
import traceback

import bench
from bench.figures import Absent, Figure, Measured, Verdict, amount

COLUMNS = ("figure", "ours", "unit", "peer or limit", "", "ratio", "bound", "")


def found() -> list[Figure]:
    """The figures of every module `bench/bench_*.py`, in the order of their names."""
    names = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if m.name.startswith("bench_"))
    return [figure for name in names for figure in importlib.import_module(f"bench.{name}").FIGURES]


def measured(figure: Figure) -> tuple[Measured | None, str]:
    """The result of one figure, or why there is none: a broken benchmark is a failure in the table, not its end."""
    try:
        return figure.measure(), ""
    except Absent as reason:
        return None, f"absent: {reason}"
    except Exception as problem:
        traceback.print_exc()
        return None, f"{type(problem).__name__}: {problem}".splitlines()[0]


def judged(figure: Figure, result: Measured | None, problem: str) -> Verdict:
    """The verdict, also where there is no result."""
    if result is not None:
        return figure.verdict(result)
    return "shown" if problem.startswith("absent:") and not figure.bounds else "FAIL"


def line(figure: Figure, result: Measured | None, problem: str) -> tuple[str, ...]:
    """One line of the table."""
    if result is None:
        return (
            figure.name,
            "",
            figure.unit,
            "",
            figure.peer,
            "",
            figure.bounds,
            f"{judged(figure, result, problem)} {problem}",
        )
    peer = amount(result.peer) if result.peer is not None else ""
    ratio = f"{result.ratio:.2f}" if result.ratio is not None else ""
    verdict = f"{judged(figure, result, problem)} {result.note}".strip()
    return figure.name, amount(result.ours), figure.unit, peer, figure.peer, ratio, figure.bounds, verdict


def record(figure: Figure, result: Measured | None, problem: str) -> dict[str, object]:
    """One line for a program."""
    return {
        "figure": figure.name,
        "unit": figure.unit,
        "ours": result.ours if result else None,
        "peer": result.peer if result else None,
        "peer_name": figure.peer,
        "ratio": result.ratio if result else None,
        "bounds": figure.bounds,
        "verdict": judged(figure, result, problem),
        "note": result.note if result else problem,
    }


def printed(rows: list[tuple[str, ...]]) -> str:
    """The table as text."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def main() -> int:
    """Measure, print, and say whether everything kept its bound."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--long", action="store_true", help="also what needs training")
    parser.add_argument("--only", default="", help="figures whose name contains this")
    parser.add_argument("--list", action="store_true", help="name the figures and stop")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output and nothing else")
    options = parser.parse_args()
    chosen = [f for f in found() if options.only in f.name and (options.long or options.only or not f.long)]
    if options.list:
        print("\n".join(f"{f.name}  {f.bounds}" for f in chosen))
        return 0
    if not chosen:
        print(f"no figure named {options.only!r}" if options.only else "no figures", file=sys.stderr)
        return 2
    results = []
    began = time.monotonic()
    for figure in chosen:
        load = f"{time.monotonic() - began:6.0f} s  load {os.getloadavg()[0]:.1f}"
        print(f"{load}  {figure.name} …", file=sys.stderr, flush=True)
        results.append((figure, *measured(figure)))
    if options.json:
        print(json.dumps([record(*result) for result in results], indent=2))
    else:
        print(printed([COLUMNS, *(line(*result) for result in results)]))
    return int(any(judged(*result) == "FAIL" for result in results))


if __name__ == "__main__":
    sys.exit(main())
