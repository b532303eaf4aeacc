"""A training run as it goes on: a live view on a terminal, a line now and then elsewhere.

The view reads what the run writes into its folder, as `kalshi-ray runs show` does: the loop knows nothing of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kalshi_ray.cli.output import note
from kalshi_ray.telemetry import Progress
from kalshi_ray.train.lines import dollars

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN_ALERTS = 3
REFRESHES = 4  # a second
LABEL = "train"  # of the reports that come with every iteration


@contextmanager
def run_view(run_dir: Path, *, console_freq: int) -> Iterator[Progress]:
    """A report of progress for a training into `run_dir`: the live view, or a line every `console_freq` steps."""
    if not sys.stderr.isatty():
        yield _Lines(run_dir, console_freq).report
        return
    from rich.console import Console
    from rich.live import Live

    view = _View(run_dir)
    with Live(console=Console(stderr=True), get_renderable=view.render, refresh_per_second=REFRESHES, transient=True):
        yield view.report


class _Folder:
    """What the run has written last. A folder that is resumed in holds older lines: they count as well."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def last(self) -> dict[str, Any]:
        from kalshi_ray.train.folder import PROGRESS
        from kalshi_ray.train.runs import last_line

        return last_line(self._run_dir / PROGRESS)

    def alerts(self) -> list[dict[str, Any]]:
        from kalshi_ray.train.folder import ALERTS, RunFolder

        return RunFolder(self._run_dir).lines(ALERTS)


class _Lines:
    """Plain lines on standard error, where there is no terminal."""

    def __init__(self, run_dir: Path, every: int) -> None:
        self._folder, self._every, self._due = _Folder(run_dir), every, 0

    def report(self, label: str, done: int, total: int) -> None:
        """One iteration is done."""
        if label != LABEL or not self._every or (done < self._due and done < total):
            return
        self._due = (done // self._every + 1) * self._every
        line = self._folder.last()
        if line:
            note(f"step {done:,} of {total:,}: {summary_of(line)}")


def summary_of(line: Mapping[str, float]) -> str:
    """The figures of one line of progress that say most, in words."""
    parts = [words.format(line[name]) for name, words in WORDS.items() if name in line]
    if "validation_net" in line:
        parts.append(f"validation {dollars(line['validation_net'])} a market")
    return ", ".join(parts)


WORDS = {
    "steps_per_s": "{:,.0f} steps/s",
    "reward_per_1000": "reward {:.4g} in 1,000",
    "hold_share": "hold {:.0%}",
    "random_hold_share": "random {:.0%}",
    "exploration_ratio": "entropy {:.0%} of random",
    "kl": "KL {:.4f}",
    "explained_variance": "explained {:.0%}",
    "cost_share": "costs {:.0%}",
}


class _View:
    """The live view: a bar, the figures, the alerts."""

    def __init__(self, run_dir: Path) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._run_dir, self._folder = run_dir, _Folder(run_dir)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._bars = Bars(*columns, auto_refresh=False)
        self._tasks: dict[str, Any] = {}
        self._line: dict[str, Any] = {}
        self._alerts: list[dict[str, Any]] = []
        self._read_at = 0.0

    def report(self, label: str, done: int, total: int) -> None:
        """Work under `label` has come so far."""
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total or None, completed=done, rate="")
        self._bars.update(self._tasks[label], completed=done, total=total or None)
        now = time.monotonic()
        if label == LABEL and now - self._read_at > 1.0 / REFRESHES:
            self._read_at = now
            self._line, self._alerts = self._folder.last(), self._folder.alerts()
            self._bars.update(self._tasks[label], rate=f"{self._line.get('steps_per_s', 0.0):,.0f} steps/s")

    def render(self) -> RenderableType:
        """What stands on the screen now."""
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [self._bars]
        if self._line:
            parts = [Text(f"run {self._run_dir}", style="bold"), self._bars, _figures(self._line)]
        for alert in self._alerts[-SHOWN_ALERTS:]:
            style = "bold red" if alert["level"] == "act" else "yellow"
            parts.append(Text(f"{alert['name']} at step {alert['steps']:,}: {alert['words']}", style=style))
        return Group(*parts)


def _figures(line: Mapping[str, float]) -> RenderableType:
    """Two columns of names and figures."""
    from rich.table import Table

    grid = Table(box=None, show_header=False, pad_edge=False)
    for at in range(4):
        grid.add_column(style="dim" if at % 2 == 0 else "", justify="left" if at % 2 == 0 else "right")
    cells = [(name, value) for name, value in _cells(line) if value]
    for at in range(0, len(cells), 2):
        grid.add_row(*(text for pair in cells[at : at + 2] for text in pair))
    return grid


def _cells(line: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    def of(name: str, words: str) -> str:
        return words.format(line[name]) if name in line else ""

    yield "reward in 1,000", of("reward_per_1000", "{:.4g}")
    yield "costs charged", of("cost_share", "{:.0%}")
    yield "hold", f"{of('hold_share', '{:.1%}')} (random {of('random_hold_share', '{:.1%}')})"
    yield "entropy", f"{of('choice_entropy', '{:.3f}')} ({of('exploration_ratio', '{:.0%}')} of random)"
    yield "orders, fills in 1,000", f"{of('orders_per_1000', '{:.1f}')}, {of('fills_per_1000', '{:.1f}')}"
    yield "episode return", of("episode_return", "{:.4g}")
    yield "KL, clipped", f"{of('kl', '{:.4f}')}, {of('clip_fraction', '{:.1%}')}"
    yield "explained variance", of("explained_variance", "{:.1%}")
    yield "validation, a market", dollars(line["validation_net"]) if "validation_net" in line else ""
    yield "validation hold", of("validation_hold", "{:.1%}")
