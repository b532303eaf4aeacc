"""What a writer wrote, counted as it went out, and proven at the end by what the store makes of the rows it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from kalshi_ray.data.backend import Backend
from kalshi_ray.data.manifest import Tally
from kalshi_ray.data.pieces import MARKETS_FILE
from kalshi_ray.data.rowsum import RowSum, row_sum
from kalshi_ray.data.schema import MARKETS, Manifest
from kalshi_ray.errors import SessionDamaged
from kalshi_ray.telemetry import Progress

_ROWS_ASKED = 1 << 24  # rows summed by one question: seconds

RowSums = Callable[[str, Sequence[str]], dict[str, RowSum]]


class WrittenRows:
    """The updates that one writer stored, from the first part on."""

    def __init__(self, backend: Backend, session_id: str, ask: RowSums) -> None:
        self._backend, self._id, self._ask = backend, session_id, ask
        self._tally = Tally()
        self._sums: dict[str, RowSum] = {}

    def add(self, name: str, table: pa.Table) -> None:
        """The next part, which the store says it holds."""
        self._tally.add(table, self._backend.where(self._id, name))
        self._sums[name] = row_sum(table)

    def count(self, manifest: Manifest, parts: list[str], progress: Progress | None = None) -> Manifest:
        """The manifest with counts, times and identity. SessionDamaged unless these are the rows that are stored."""
        if parts != list(self._sums):
            raise SessionDamaged(f"{self._backend.where(self._id)} has updates {parts}, {len(self._sums)} were written")
        asked = 0
        for names in self._questions():
            if progress:
                progress("rows", asked, len(parts))
            found = self._ask(self._id, names)
            for name in names:
                self._compare(name, found[name])
            asked += len(names)
        return self._tally.fill(manifest, self._backend.read_table(self._id, MARKETS_FILE, MARKETS))

    def _questions(self) -> Iterator[list[str]]:
        names: list[str] = []
        rows = 0
        for name, written in self._sums.items():
            if names and rows + written.rows > _ROWS_ASKED:
                yield names
                names, rows = [], 0
            names.append(name)
            rows += written.rows
        if names:
            yield names

    def _compare(self, name: str, found: RowSum) -> None:
        written = self._sums[name]
        if found != written:
            what = f"{found.rows:,} rows, {written.rows:,} were written" if found.rows != written.rows else "other rows"
            raise SessionDamaged(
                f"{self._backend.where(self._id, name)} holds {what}",
                remedy="Somebody changed it: delete the session and write it again",
            )
