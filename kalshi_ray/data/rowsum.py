"""One number for the updates of a part, which a database computes from the rows it holds as we do from those we sent.

Each row is a sum of its values by fixed factors, modulo a prime, and counts by a weight that belongs to its place. A
value that is another, two rows that changed places, a row that is lost or stands twice: each gives another number for
certain; several faults at once give the same one with a chance of 1 in 2^32. It finds accidents; `content` is what a
session is known by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from kalshi_ray.data.schema import UPDATES

# By column, odd and of 24 bits; two where the values have 64 bits: for their lower and their upper half.
_FACTORS = {
    "market": (9_902_309,),
    "recv_ns": (13_331_827, 10_713_611),
    "exch_ns": (15_467_933, 8_998_519),
    "sid": (12_027_409,),
    "seq": (16_104_211, 11_490_047),
    "kind": (14_273_081,),
    "side": (10_150_871,),
    "price": (13_909_549,),
    "size": (9_364_237, 15_890_663),
    "taker": (12_633_961,),
    "flags": (11_021_903,),
}
_PRIME = 2**32 + 15  # above what half a value can change by, so that no single change is a multiple of it
_OFFSET = 2**60  # keeps the sum of a row above zero; it stays below 2^61
_LOWER = 2**32 - 1
_STRIDE, _MASK = 692_875_435, 2**30 - 1  # odd: places differ in their weights up to 2^30 of them
_CHUNK = 1 << 15  # rows at a time: what the processor's cache holds

assert list(_FACTORS) == UPDATES.names


class RowSum(NamedTuple):
    """How many rows, and the number that they give."""

    rows: int
    total: int


def row_sum(table: pa.Table) -> RowSum:
    """Of updates (schema UPDATES) in their order."""
    columns = {name: table[name].to_numpy() for name in _FACTORS}
    total = 0
    for start in range(0, table.num_rows, _CHUNK):
        stop = min(start + _CHUNK, table.num_rows)
        rows = np.full(stop - start, _OFFSET, np.int64)
        for name, factors in _FACTORS.items():
            values = columns[name][start:stop].astype(np.int64)
            if len(factors) == 1:
                rows += values * factors[0]
            else:
                rows += (values & _LOWER) * factors[0]
                rows += (values >> 32) * factors[1]
        weighted = rows % _PRIME * ((np.arange(start, stop) * _STRIDE & _MASK) + 1)
        total += int((weighted & _LOWER).sum()) + (int((weighted >> 32).sum()) << 32)
    return RowSum(table.num_rows, total)


def row_sum_sql(ordinal: str) -> str:
    """The same as SQL over rows with the columns of UPDATES and their place, from 0, in the column `ordinal`."""
    terms = [str(_OFFSET)]
    for name, factors in _FACTORS.items():
        if len(factors) == 1:
            terms.append(f"{name} * {factors[0]}::bigint")
        else:
            terms.append(f"({name} & {_LOWER}) * {factors[0]} + ({name} >> 32) * {factors[1]}")
    return f"sum(({' + '.join(terms)}) % {_PRIME} * (({ordinal} * {_STRIDE}::bigint & {_MASK}) + 1))"
