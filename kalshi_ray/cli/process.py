"""What belongs to a whole process and not to one command: its streams, and signals once there is nothing to stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

INTERRUPTED = 130  # what shells expect after Ctrl-C
STOPPING = (signal.SIGINT, signal.SIGTERM)


def whole_process(arguments: Sequence[str]) -> int:
    """Run one command line as all that this process does, and return its exit code."""
    _open_streams()
    try:
        from kalshi_ray.cli.app import run  # on call: it takes a while, in which Ctrl-C is heard as at any time

        code = run(arguments)
    except KeyboardInterrupt:  # while another one was being dealt with
        code = INTERRUPTED
    for number in STOPPING:  # or Ctrl-C in the last moments would be a traceback behind the result
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    return code


def _silence(stream: TextIO) -> None:
    """Send what is still written to a stream nowhere: nobody reads it, or there is no room for it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _open_streams() -> None:
    """Somebody may have closed standard output or standard error; what is written to it goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process


def _let_go(stream: TextIO) -> None:
    """Write what waits, or the interpreter fails when it does so at its end."""
    try:
        stream.flush()
    except OSError:  # it was told already, where there is somebody to tell
        _silence(stream)
