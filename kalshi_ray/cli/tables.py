"""Tables for a terminal of any width: no word is cut in two, and what does not fit stands record below record."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

GAP = 2  # columns between two cells
INDENT = 2  # of what belongs to a record


class Table:
    """Cells of text under names of columns; a renderable of rich that fits itself to the width.

    Columns in `right` are numbers: aligned so and never broken into lines. Others, and the names of columns, are broken
    between words, the first column last. Where that does not fit, or takes more lines, each row is a record: a line for
    each cell.
    """

    def __init__(
        self, title: str, columns: Sequence[str], rows: list[list[str]], *, right: Collection[str] = ()
    ) -> None:
        self.title = title
        self.columns = tuple(columns)
        self.rows = rows
        self.right = frozenset(right)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        if self.title:
            yield Text(self.title, style="bold")
        widths = self._widths(options.max_width)
        if widths is None or self._is_shorter_as_records(widths, options.max_width):
            yield from self._records()
        else:
            yield self._grid(widths)

    def _is_shorter_as_records(self, widths: list[int], room: int) -> bool:
        broken = sum(max(map(_lines, row, widths)) for row in self.rows)
        if broken == len(self.rows) or len(self.columns) == 1:  # nothing is broken, or nothing can stand below
            return False
        value = max(1, room - self._label_width() - INDENT - GAP)
        return broken > sum(1 + sum(_lines(cell, value) for cell in row[1:] if cell) for row in self.rows)

    def _widths(self, room: int) -> list[int] | None:
        """Columns of each cell so that all fit into the room; None if they cannot."""
        return self._fitted(room, {self.columns[0], *self.right}) or self._fitted(room, self.right)

    def _fitted(self, room: int, unbroken: Collection[str]) -> list[int] | None:
        from rich.cells import cell_len

        room -= GAP * (len(self.columns) - 1)
        widths, least = [], []
        for at, name in enumerate(self.columns):
            cells = [row[at] for row in self.rows]
            whole = max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)
            word = max((cell_len(word) for text in (name, *cells) for word in text.split()), default=0)
            widths.append(max(whole, cell_len(name)))
            least.append(max(whole, word) if name in unbroken else word)
        if sum(least) > room:
            return [room] if len(widths) == 1 else None
        while sum(widths) > room:
            _, widest = max((width, at) for at, width in enumerate(widths) if width > least[at])
            widths[widest] -= 1
        return widths

    def _grid(self, widths: list[int]) -> RenderableType:
        from rich.table import Table as Grid
        from rich.text import Text

        made = Grid(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
        for name, width in zip(self.columns, widths, strict=True):
            made.add_column(Text(name), justify="right" if name in self.right else "left", width=width, overflow="fold")
        for row in self.rows:
            made.add_row(*map(Text, row))
        return made

    def _records(self) -> RenderResult:
        from rich.table import Table as Grid
        from rich.text import Text

        for row in self.rows:
            yield Text(row[0], style="bold", overflow="fold")
            made = Grid.grid(padding=(0, GAP, 0, 0))
            made.add_column(style="dim", width=INDENT + self._label_width(), no_wrap=True)
            made.add_column(overflow="fold")
            for name, cell in zip(self.columns[1:], row[1:], strict=True):
                if cell:
                    made.add_row(Text(" " * INDENT + name), Text(cell))
            yield made

    def _label_width(self) -> int:
        from rich.cells import cell_len

        return max(map(cell_len, self.columns[1:]), default=0)


def _lines(text: str, width: int) -> int:
    """Lines of a cell that is broken between words."""
    from rich.cells import cell_len

    lines = 1
    for paragraph in text.splitlines():
        used = 0
        for word in paragraph.split():
            room = cell_len(word)
            if used and used + 1 + room > width:
                lines, used = lines + 1, room
            else:
                used += room + (1 if used else 0)
    return lines + max(0, len(text.splitlines()) - 1)
