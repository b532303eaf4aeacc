"""The last words of lines whose keepers are gone: blocks that somebody else writes for them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from kalshi_ray.collect import inputs
from kalshi_ray.collect.block import DESK, Block
from kalshi_ray.collect.line import sid_of
from kalshi_ray.core.tape import GapCause
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.rows import ALL, gap_rows


def given_up(line: int, at_ns: int, *, raw: bool) -> Block:
    """A line of books is over, whose last block said `until_ns` = `at_ns`: its books are unknown from there."""
    return _ending(line, inputs.GivenUp(), rows_of_given_up(line, at_ns), at_ns, raw=raw)


def interrupted(at_ns: int, *, raw: bool) -> Block:
    """The collector was gone: after all that it recorded, which ended before `at_ns`, no book is known."""
    return _ending(DESK, inputs.Interrupted(), rows_of_interrupted(at_ns), at_ns, raw=raw)


def rows_of_given_up(line: int, at_ns: int) -> NDArray[Any]:
    """The gap of one line."""
    return gap_rows([(ALL, sid_of(line, Channel.BOOK))], at_ns, GapCause.RECORDER)


def rows_of_interrupted(at_ns: int) -> NDArray[Any]:
    """The gap of every market."""
    return gap_rows([(ALL, 0)], at_ns, GapCause.RECORDER)


def _ending(line: int, note: inputs.Note, rows: NDArray[Any], at_ns: int, *, raw: bool) -> Block:
    packed = inputs.pack([inputs.note_line(note, at_ns, line)]) if raw else b""
    return Block(line=line, rows=rows, raw=packed, raw_lines=int(raw), until_ns=at_ns, is_last=line != DESK)
