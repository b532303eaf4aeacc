"""The command `kalshi-ray`: thin commands, each of which calls one library function and prints what it returns."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """The whole process of one command line, by default that of the console script."""
    from kalshi_ray.cli.process import whole_process  # on call: importing the package must not build the command tree

    sys.exit(whole_process(sys.argv[1:] if arguments is None else arguments))
