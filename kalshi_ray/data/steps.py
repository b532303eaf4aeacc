"""Sequence numbers as files hold them: steps along each sid, which take next to nothing however many sids alternate.

Each row group is taken in stretches of 65,536 rows, a stretch by sid, and a sid as its rows came: then `seq_step` is
`seq` less that of the row before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.data.schema import UPDATES

STEP = "seq_step"
_SEQ = UPDATES.get_field_index("seq")
STEPPED = UPDATES.set(_SEQ, pa.field(STEP, UPDATES.field("seq").type))
_STRETCH = 1 << 16  # rows; it belongs to the form of the files


def with_steps(table: pa.Table) -> pa.Table:
    """A row group of updates as a file holds it: schema UPDATES to STEPPED."""
    seq, steps = table["seq"].to_numpy(), np.empty(table.num_rows, np.int64)
    for part, order in _orders(table["sid"], [table.num_rows]):
        steps[part][order] = np.diff(seq[part][order], prepend=0)
    return table.set_column(_SEQ, STEPPED.field(STEP), pa.array(steps))


def without_steps(table: pa.Table, groups: Sequence[int]) -> pa.Table:
    """Columns of a file, `sid` and `seq_step` among them, with `seq` again; `groups` are the rows of each row group."""
    steps, seq = table[STEP].to_numpy(), np.empty(table.num_rows, np.int64)
    for part, order in _orders(table["sid"], groups):
        seq[part][order] = np.cumsum(steps[part][order])
    return table.set_column(table.schema.get_field_index(STEP), UPDATES.field("seq"), pa.array(seq))


def _orders(column: pa.ChunkedArray, groups: Sequence[int]) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Each stretch, and the order of its rows by sid."""
    sids, start = column.to_numpy(), 0
    for rows in groups:
        for at in range(start, start + rows, _STRETCH):
            part = slice(at, min(at + _STRETCH, start + rows))
            sid = sids[part].astype(np.int64)
            # Sids of a collector lie close together: small numbers are sorted by counting.
            close = (sid - sid.min()).astype(np.min_scalar_type(int(sid.max() - sid.min())))
            yield part, np.argsort(close, kind="stable")
        start += rows
