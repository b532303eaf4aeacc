"""A collector as it goes on: one screen on a terminal, lines of JSON elsewhere; the last one has the exact counts."""

from __future__ import annotations

import errno
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec

from kalshi_ray import telemetry
from kalshi_ray.cli.collect_grid import STYLES, grids_of
from kalshi_ray.collect.status import (
    Status,
    closing_line,
    duration_text,
    line_of,
    paced,
    problems_of,
    rate_text,
)
from kalshi_ray.core.units import SECOND

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

DRAWN_S = 1.0  # between two pictures
TREND_WORDS = 30  # columns
NEXT_WORDS = 80  # columns of what is said when it is over
BARS = "▁▂▃▄▅▆▇█"
SHOWN_HAPPENINGS = 6
TREND_FROM = 12  # lines below the head from which on frames a second are drawn

Tell = Callable[[Status], None]


@contextmanager
def reporting(
    *, as_json: bool = False, report_s: float = 5.0, drawing: Callable[[], None] = lambda: None
) -> Iterator[Tell]:
    """Give every status to what it yields, as often as wanted: it is shown every second on a terminal, elsewhere every
    `report_s` as a line, with the rates of the time between. The final one is always shown. Where there are lines, what
    others print goes to standard error.

    `drawing` is called before the first picture.
    """
    from rich.console import Console, Group
    from rich.live import Live

    console, screen = Console(file=cast("TextIO", _Sturdy(sys.stdout))), CollectScreen()
    if as_json or not sys.stdout.isatty() or console.is_dumb_terminal:
        show = _Lines(_raw(sys.stdout)).show
        with redirect_stdout(sys.stderr):  # Ray prints what goes wrong in its processes, whatever it was told
            yield _Paced(show, report_s)
        return
    # Below the picture the cursor has a line to itself: the ^C that a terminal writes there tears nothing.
    with Live(Group(screen, ""), console=console, auto_refresh=False) as live:

        def draw(status: Status) -> None:
            if screen.status is None:
                drawing()
            screen.take(status)
            live.update(screen if status.is_final else Group(screen, ""), refresh=True)

        yield _Paced(draw, DRAWN_S)
    if screen.status is not None and screen.status.is_final:
        console.print(closing_line(screen.status), highlight=False)


class _Paced:
    """Shows a status now and then, with rates since the one shown before and all that happened meanwhile."""

    def __init__(self, show: Tell, every_s: float) -> None:
        self._show, self._every_ns = show, round(every_s * SECOND)
        self._shown: Status | None = None
        self._happenings: list[str] = []

    def __call__(self, status: Status) -> None:
        self._happenings += status.happenings
        is_due = self._shown is None or not 0 <= status.at_ns - self._shown.at_ns < self._every_ns
        if is_due or status.is_final:
            told = msgspec.structs.replace(
                paced(status, None if status.is_final else self._shown), happenings=tuple(self._happenings)
            )
            self._shown, self._happenings = status, []
            self._show(told)


class _Lines:
    """Lines of JSON. Who read them may go away, or there may be no room for them: recording goes on."""

    def __init__(self, write: Callable[[bytes], int | None]) -> None:
        """`write` says how many bytes it took; None: it can take none at present."""
        self._write = write
        self._end = b""  # of a line that was torn
        self._is_lost = False

    def show(self, status: Status) -> None:
        line = self._end + line_of(status) + b"\n"
        rest = line
        try:
            while rest:
                written = self._write(rest)
                if written is None:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                rest = rest[written:]
        except OSError as problem:
            if len(rest) < len(line):
                self._end = b"\n"
            if not self._is_lost:
                telemetry.warning("collect.lines_lost", problem=problem.strerror)
            self._is_lost = True
            return
        self._end, self._is_lost = b"", False


def _raw(stream: TextIO) -> Callable[[bytes], int | None]:
    """Writes to a stream past its buffers, which keep what could not be written and fail with it again."""
    buffer = stream.buffer
    return getattr(buffer, "raw", buffer).write  # a raw file, or bytes in memory


class _Sturdy:
    """A terminal that may be closed while we draw: recording goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class CollectScreen:
    """What stands on the screen; a renderable of rich that fits itself to the width."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self._rates: deque[float] = deque(maxlen=1_000)
        self._happenings: deque[tuple[int, str]] = deque(maxlen=SHOWN_HAPPENINGS)

    def take(self, status: Status) -> None:
        """Show this one from now on."""
        self.status = status
        self._rates.append(status.frames_per_s)
        self._happenings.extend((status.at_ns, text) for text in status.happenings)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        if self.status is None:
            yield Text("waiting for the exchange", style="dim")
            return
        width = options.max_width
        room = console.height - 1 - self._below(console, width)  # the cursor has a line
        problems = problems_of(self.status)[: max(0, room - 1)]
        yield self._head(self.status)
        for mood, problem in problems:
            yield Text(f" ! {problem}", style=STYLES[mood], no_wrap=True, overflow="ellipsis")
        room -= 1 + len(problems)
        if room >= TREND_FROM:
            yield self._trend(width)
            room -= 1
        grids = grids_of(self.status, width, room)
        yield from (grid for grid, _ in grids)
        left = max(0, room - sum(height for _, height in grids))
        for at_ns, text in list(self._happenings)[max(0, len(self._happenings) - left) :]:
            moment = datetime.fromtimestamp(at_ns / SECOND, UTC).strftime("%m-%d %H:%M:%S")
            yield Text.assemble((f" {moment}  ", "dim"), text, no_wrap=True, overflow="ellipsis")

    def _below(self, console: Console, width: int) -> int:
        """Lines below the last picture: the exact counts, and what to do next."""
        from rich.text import Text

        if self.status is None or not self.status.is_final:
            return 0
        return len(Text(closing_line(self.status)).wrap(console, width)) + -(-NEXT_WORDS // width) + 1

    def _head(self, status: Status) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        has_problem = bool(status.store_problem or status.disk_problem)
        doing, style = ("finished", "bold") if status.is_final else ("recording", "bold green")
        if has_problem and not status.is_final:
            doing, style = "recording, and waiting", "bold red"
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        where = f" → {status.store}" + (f" · {status.environment}" if status.environment else "")
        resumed = " · resumed" if status.is_resumed else ""
        head.add_row(
            Text.assemble((f" ● {doing} ", style), (status.session, "bold"), (where + resumed, "dim")),
            Text(duration_text(status.running_s) + " ", style="bold"),
        )
        return head

    def _trend(self, width: int) -> RenderableType:
        """Frames a second, a bar for each picture, the newest on the right."""
        from rich.text import Text

        shown = list(self._rates)[-max(1, width - TREND_WORDS - 1) :]
        most = max(shown, default=0.0) or 1.0
        words = f" frames/s, up to {rate_text(max(shown, default=0.0))}".ljust(TREND_WORDS)
        # None at all leaves a hole: that is what one looks for.
        bars = "".join(BARS[min(len(BARS) - 1, int(len(BARS) * rate / most))] if rate else " " for rate in shown)
        return Text.assemble((words, "dim"), (bars, "cyan"), no_wrap=True)
