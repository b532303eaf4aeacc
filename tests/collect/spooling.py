"""Rows and blocks for tests of the spool: every row has a number, in `seq`, by which it is found again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.collect.block import SIDS, Block
from kalshi_ray.collect.facts import Facts, MarketRow
from kalshi_ray.collect.segment import Head, Identity
from kalshi_ray.core.tape import Kind
from kalshi_ray.data.recording import ROW

IDENTITY = Identity(session="s", store="/store", created="2026-01-01T00:00:00+00:00")
HEAD = Head(identity=IDENTITY, number=0)
MARKETS = Facts(markets=tuple(MarketRow(ticker=f"T{number}", event="E") for number in range(4)))


def rows_at(times: Sequence[int], first: int, line: int = 1) -> NDArray[Any]:
    """One row for each time, numbered from `first` on."""
    rows = np.zeros(len(times), ROW)
    rows["recv_ns"], rows["seq"] = times, np.arange(first, first + len(times))
    rows["market"], rows["sid"], rows["kind"] = rows["seq"] % len(MARKETS.markets), line * SIDS + 1, Kind.DELTA
    rows["price"], rows["size"] = 100, 1
    return rows


def raw_of(lines: Sequence[str]) -> bytes:
    """Raw lines as a block brings them."""
    return bytes(pa.compress("".join(f"{line}\n" for line in lines).encode(), codec="zstd", asbytes=True))


def lines_of(raw: bytes) -> list[str]:
    """The raw lines in a file of zstd frames."""
    if not raw:
        return []
    with pa.CompressedInputStream(pa.BufferReader(raw), "zstd") as stream:
        return stream.read().decode().splitlines()


def block_at(times: Sequence[int], first: int, line: int = 1, *, until_ns: int = 0, is_last: bool = False) -> Block:
    """A block of rows with one raw line for each."""
    numbers = [f"{first + at}" for at in range(len(times))]
    raw = raw_of(numbers) if numbers else b""
    rows = rows_at(times, first, line)
    return Block(
        line=line, rows=rows, raw=raw, raw_lines=len(numbers), frames=len(times), until_ns=until_ns, is_last=is_last
    )
