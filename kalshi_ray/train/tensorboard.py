"""Curves for TensorBoard: one event an iteration with all its figures, under the names of progress.jsonl."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

LEFT_OUT = {"steps", "iteration"}  # the axis, and a count of it


class Curves:
    """Appends events to one file in a folder; made with the first line, so that a run that fails at once leaves none.

    The library's own writer has a queue and a thread, which a killed run would lose: this one flushes every line.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: EventsWriter | None = None

    def add(self, line: Mapping[str, float]) -> None:
        """One event at the line's steps."""
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = EventsWriter(str(self._folder / "events"))
        values = [Summary.Value(tag=name, simple_value=value) for name, value in line.items() if name not in LEFT_OUT]
        event = Event(wall_time=time.time(), step=int(line["steps"]), summary=Summary(value=values))
        self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
