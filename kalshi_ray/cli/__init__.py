"""The command `kalshi-ray`: thin commands, each of which calls one library function and prints what it returns."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    from kalshi_ray.cli.app import run  # on call: importing the package must not build the command tree

    sys.exit(run(sys.argv[1:]))
