"""A collector as it goes on: one screen on a terminal, lines of JSON elsewhere; the last one has the exact counts."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from kalshi_ray.collect.status import (
    Figure,
    Mood,
    Status,
    closing_line,
    duration_text,
    line_of,
    paced,
    problems_of,
    rate_text,
    sections_of,
)
from kalshi_ray.core.units import SECOND

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

DRAWN_S = 1.0  # between two pictures
TREND_WORDS = 30  # columns
BESIDE = 150  # columns from which on all groups stand beside each other; below that two and two
BARS = "▁▂▃▄▅▆▇█"
SHOWN_HAPPENINGS = 6
HEAD = 3  # lines that are always there, and one for the cursor
BORDERS = 2  # lines of a group
LEAST_FIGURES = 3  # of a group on the smallest screen
STYLES = {Mood.PLAIN: "", Mood.GOOD: "green", Mood.WARN: "yellow", Mood.BAD: "bold red"}

Tell = Callable[[Status], None]


@contextmanager
def reporting(*, as_json: bool = False, report_s: float = 5.0) -> Iterator[Tell]:
    """Give every status to what it yields, as often as wanted: it is shown every second on a terminal, elsewhere every
    `report_s` as a line, with the rates of the time between. The final one is always shown."""
    if as_json or not sys.stdout.isatty():
        lines = _Lines(sys.stdout.write)
        yield _Paced(lines.show, report_s)
        return
    from rich.console import Console
    from rich.live import Live

    console, screen = Console(file=sys.stdout), CollectScreen()
    with Live(screen, console=console, auto_refresh=False) as live:

        def draw(status: Status) -> None:
            screen.take(status)
            live.refresh()

        yield _Paced(draw, DRAWN_S)
    if screen.status is not None and screen.status.is_final:
        console.print(closing_line(screen.status), soft_wrap=True, highlight=False)


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
    """Lines of JSON. Who read them may go away: recording goes on."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def show(self, status: Status) -> None:
        try:
            self._write(line_of(status).decode() + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._write = lambda line: None
            # Or the interpreter fails when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
        problems = problems_of(self.status)
        room = console.height - HEAD - len(problems)
        rows = _rows_of(self.status, options.max_width, room)
        yield self._head(self.status)
        yield self._trend(options.max_width)
        for mood, problem in problems:
            yield Text(f" ! {problem}", style=STYLES[mood], no_wrap=True, overflow="ellipsis")
        yield from map(_grid, rows)
        left = max(0, room - sum(map(_height, rows)))
        for at_ns, text in list(self._happenings)[max(0, len(self._happenings) - left) :]:
            moment = datetime.fromtimestamp(at_ns / SECOND, UTC).strftime("%m-%d %H:%M:%S")
            yield Text.assemble((f" {moment}  ", "dim"), text, no_wrap=True, overflow="ellipsis")

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


def _rows_of(status: Status, width: int, height: int) -> list[list[tuple[str, list[Figure]]]]:
    """The groups in rows that fit into so many lines; where they do not, plain figures at the end are left out."""
    sections = list(sections_of(status).items())
    beside = len(sections) if width >= BESIDE else 2
    rows = [sections[first : first + beside] for first in range(0, len(sections), beside)]
    room = max(LEAST_FIGURES, height // len(rows) - BORDERS)
    return [[(name, _cut(figures, room)) for name, figures in row] for row in rows]


def _cut(figures: list[Figure], room: int) -> list[Figure]:
    """So many figures, in their order; those to be looked at before others."""
    first = sorted(range(len(figures)), key=lambda at: (figures[at].mood not in (Mood.WARN, Mood.BAD), at))
    return [figures[at] for at in sorted(first[:room])]


def _grid(row: list[tuple[str, list[Figure]]]) -> RenderableType:
    from rich.table import Table

    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in row:
        grid.add_column(ratio=1)
    height = _height(row)
    grid.add_row(*(_panel(name, figures, height) for name, figures in row))
    return grid


def _height(row: list[tuple[str, list[Figure]]]) -> int:
    return max(len(figures) for _, figures in row) + BORDERS


def _panel(title: str, figures: list[Figure], height: int) -> RenderableType:
    from rich import box
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(expand=True, padding=(0, 1, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(justify="right", ratio=1, no_wrap=True, overflow="ellipsis")
    for figure in figures:
        made.add_row(figure.name, Text(figure.text, style=STYLES[figure.mood]))
    return Panel(
        made, title=f"[bold]{title}[/]", title_align="left", box=box.ROUNDED, border_style="bright_black", height=height
    )
