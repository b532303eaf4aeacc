"""The figures of a collector in so many lines and columns: groups in frames, or a plain list where those do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalshi_ray.collect.status import Figure, Mood, Status, sections_of

if TYPE_CHECKING:
    from rich.console import RenderableType

FOUR_FROM = 150  # columns from which on all groups stand beside each other
TWO_FROM = 72  # below that two and two
LISTED = 36  # columns of a figure in the plain list, at least
BORDERS = 2  # lines of a group
LEAST_FIGURES = 4  # of a framed group
STYLES = {Mood.PLAIN: "", Mood.GOOD: "green", Mood.WARN: "yellow", Mood.BAD: "bold red"}

Group = tuple[str, list[Figure]]


def grids_of(status: Status, width: int, height: int) -> list[tuple[RenderableType, int]]:
    """What fits into so many columns and lines, each with its lines. Plain figures at the end of a group are left out
    first."""
    groups = list(sections_of(status).items())
    beside = 4 if width >= FOUR_FROM else 2 if width >= TWO_FROM else 1
    rows = [groups[first : first + beside] for first in range(0, len(groups), beside)]
    most = height // len(rows) - BORDERS
    if most < LEAST_FIGURES:
        return _listed([figure for _, figures in _in_turn(groups) for figure in figures], width, height)
    return [_framed([(name, _cut(figures, most)) for name, figures in row]) for row in rows]


def _in_turn(groups: list[Group]) -> list[Group]:
    """The groups as runs of one figure: the first of each, then the second of each."""
    longest = max(len(figures) for _, figures in groups)
    return [(name, figures[at : at + 1]) for at in range(longest) for name, figures in groups]


def _cut(figures: list[Figure], room: int) -> list[Figure]:
    """So many figures, in their order; those to be looked at before others."""
    first = sorted(range(len(figures)), key=lambda at: (figures[at].mood not in (Mood.WARN, Mood.BAD), at))
    return [figures[at] for at in sorted(first[: max(0, room)])]


def _listed(figures: list[Figure], width: int, height: int) -> list[tuple[RenderableType, int]]:
    """Figures without frames, in columns that are read downwards."""
    from rich.table import Table
    from rich.text import Text

    columns = max(1, width // LISTED)
    shown = _cut(figures, columns * height)
    if not shown:
        return []
    lines = -(-len(shown) // columns)
    made = Table.grid(expand=True, padding=(0, 1))
    for _ in range(columns):
        made.add_column(style="dim", no_wrap=True)
        made.add_column(justify="right", ratio=1, no_wrap=True, overflow="ellipsis")
    for line in range(lines):
        cells: list[RenderableType] = []
        for figure in shown[line::lines]:
            cells += [f" {figure.name}", Text(figure.text, style=STYLES[figure.mood])]
        made.add_row(*cells)
    return [(made, lines)]


def _framed(row: list[Group]) -> tuple[RenderableType, int]:
    """Groups beside each other."""
    from rich.table import Table

    height = max(len(figures) for _, figures in row) + BORDERS
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in row:
        grid.add_column(ratio=1)
    grid.add_row(*(_panel(name, figures, height) for name, figures in row))
    return grid, height


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
