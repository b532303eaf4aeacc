"""Updates of a session as plain arrays, batch by batch: what the kernels that build views read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.jit import read_only
from kalshi_ray.core.tape import Kind
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.errors import SessionDamaged

LARGEST_SIZE = 2**31 - 1  # lots that one row of the tape can hold


class Heads(NamedTuple):
    """What counting needs of a run of updates, each array of shape [N]."""

    market: NDArray[Any]  # int32
    kind: NDArray[Any]  # int8
    size: NDArray[Any]  # int64
    sid: NDArray[Any]  # int32


class Columns(NamedTuple):
    """A run of updates in arrival order, each array of shape [N]; units and codes as in data.schema.UPDATES."""

    market: NDArray[Any]  # int32
    recv_ns: NDArray[Any]  # int64
    exch_ns: NDArray[Any]  # int64
    sid: NDArray[Any]  # int32
    kind: NDArray[Any]  # int8
    side: NDArray[Any]  # int8
    price: NDArray[Any]  # int32
    size: NDArray[Any]  # int64
    taker: NDArray[Any]  # int8
    flags: NDArray[Any]  # int8


@dataclass(frozen=True)
class Updates:
    """The updates of a session, read as often as asked, so that they are never all in memory.

    `read` gives the batches in arrival order, with the columns asked for or more. The arrays are not copied.
    SessionDamaged on a missing column, a wrong type or a null.
    """

    read: Callable[[Sequence[str]], Iterable[pa.RecordBatch]]
    is_whole: bool = True  # whether rows of every market are there

    def heads(self) -> Iterator[Heads]:
        """All updates, as far as counting needs them."""
        for batch in self.read(Heads._fields):
            if batch.num_rows:
                yield Heads(*(_array(batch, name) for name in Heads._fields))

    def columns(self) -> Iterator[Columns]:
        """All updates."""
        for batch in self.read(Columns._fields):
            if batch.num_rows:
                yield Columns(*(_array(batch, name) for name in Columns._fields))


def updates_of(updates: pa.Table | Iterable[pa.RecordBatch]) -> Updates:
    """Updates that are in memory already, or that can be read only once and are kept."""
    batches = updates.to_batches() if isinstance(updates, pa.Table) else list(updates)
    return Updates(lambda names: batches)


def _array(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    if name not in batch.schema.names:
        raise SessionDamaged(f"updates have no column {name!r}", remedy=f"Columns needed: {', '.join(Columns._fields)}")
    column = batch.column(name)
    wanted = UPDATES.field(name).type
    if column.type != wanted:
        raise SessionDamaged(f"updates: column {name!r} holds {column.type}, expected {wanted}")
    if column.null_count:
        raise SessionDamaged(f"updates: column {name!r} has {column.null_count} empty cells, expected none")
    return read_only(column.to_numpy(zero_copy_only=True))


def split_large_sizes(updates: Updates) -> Updates:
    """The updates in memory, sizes beyond a tape row's 32 bits as several rows of the same time; totals are exact.

    A delta or print becomes several of its kind. A level of a snapshot keeps the largest size that fits, and deltas
    after the end of its snapshot add the rest. Rare, and therefore plain: the whole session is copied once.
    """
    whole = Columns(*[np.concatenate(parts) for parts in zip(*updates.columns())])
    sized = np.isin(whole.kind, (Kind.SNAPSHOT_LEVEL, Kind.DELTA, Kind.TRADE))
    large = np.flatnonzero(sized & (np.abs(whole.size) > LARGEST_SIZE))
    sources: list[int] = []  # row that an added row is a copy of
    places: list[int] = []  # row before which it goes
    sizes: list[int] = []
    kept = whole.size.copy()
    for row in large.tolist():
        is_level = whole.kind[row] == Kind.SNAPSHOT_LEVEL
        place = (_end_of_snapshot(whole, row) if is_level else row) + 1
        sign = 1 if whole.size[row] > 0 else -1
        left = abs(int(whole.size[row])) - LARGEST_SIZE
        kept[row] = sign * LARGEST_SIZE
        while left > 0:
            sources.append(row)
            places.append(place)
            sizes.append(sign * min(left, LARGEST_SIZE))
            left -= LARGEST_SIZE
    whole = whole._replace(size=kept)
    added = Columns(*[column[sources] for column in whole])
    added.size[:] = sizes
    added.kind[added.kind == Kind.SNAPSHOT_LEVEL] = Kind.DELTA
    after = np.maximum(np.array(places, np.int64) - 1, 0)
    added.recv_ns[:] = np.maximum(added.recv_ns, whole.recv_ns[after])  # a delta after its snapshot's end comes with it
    order = np.argsort(np.array(places, np.int64), kind="stable")
    spots = np.array(places, np.int64)[order]
    arrays = [_inserted(kept_rows, spots, more[order]) for kept_rows, more in zip(whole, added)]
    return updates_of([pa.RecordBatch.from_arrays([pa.array(array) for array in arrays], names=Columns._fields)])


def _inserted(column: NDArray[Any], spots: NDArray[np.int64], more: NDArray[Any]) -> NDArray[Any]:
    return np.insert(column, spots, more)


def _end_of_snapshot(columns: Columns, row: int) -> int:
    """The row that ends the snapshot which `row` is a level of; the row itself if it never ends."""
    ends = (columns.market[row:] == columns.market[row]) & (columns.kind[row:] == Kind.SNAPSHOT_END)
    return row + int(np.argmax(ends)) if ends.any() else row
