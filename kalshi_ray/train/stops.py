"""Ctrl-C and SIGTERM: the first lets the update under way end, the second ends at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from kalshi_ray.errors import Stopped

HEARD = (signal.SIGINT, signal.SIGTERM)
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_SAID = b"stopping after this update; once more stops at once and loses it\n"


class Stops:
    """Listens while it is entered, in the main thread; elsewhere it hears nothing, for signals do not come there."""

    def __init__(self) -> None:
        self.heard: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stops:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in HEARD}
        return self

    def __exit__(self, *failure: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def why(self) -> str:
        """What was heard, in words; empty while nothing was."""
        return "" if self.heard is None else f"stopped by {NAMES[self.heard]}"

    @property
    def exit_code(self) -> int:
        """What a shell expects after the signal that was heard: 130 or 143; 0 where none was."""
        return 0 if self.heard is None else 128 + self.heard

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.heard is not None:
            raise Stopped(f"{self.why} twice, in the middle of an update", exit_code=self.exit_code)
        self.heard = signal.Signals(number)
        os.write(2, _SAID)  # a log would take a lock that the interrupted code may hold
