"""Logs as named events with fields, on standard error; and the shape of a progress report."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Literal, TextIO, cast

import structlog

Progress = Callable[[str, int, int], None]
"""Called with (label, done, total) by work that takes long; `total` is 0 where it is not known."""

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def configure(*, level: Level = "INFO", as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send events of `level` and above to `stream` (standard error), readable or as one JSON object a line."""
    target = stream or cast("TextIO", _StandardError())
    renderer = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=target.isatty(), pad_event_to=24)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )


class _StandardError:
    """Standard error as it is at the moment of writing: it may be another file than when logging was set up.

    Its reader may have gone, or its disk be full: that ends nothing of what it tells about.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return sys.stderr.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def debug(name: str, /, **fields: object) -> None:
    """Record something only a developer wants to see."""
    structlog.get_logger().debug(name, **fields)


def event(name: str, /, **fields: object) -> None:
    """Record that something happened: `event("feed.gap", ticker=ticker, expected=18, received=21)`."""
    structlog.get_logger().info(name, **fields)


def warning(name: str, /, **fields: object) -> None:
    """Record something a person should look at."""
    structlog.get_logger().warning(name, **fields)


def error(name: str, /, **fields: object) -> None:
    """Record a failure that is not raised to the caller."""
    structlog.get_logger().error(name, **fields)
