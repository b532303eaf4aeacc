"""Passing over an object that nobody reads, and of which only its end is of interest: it must be plain JSON."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.wire.scan import (
    ASIDE,
    CLOSE,
    COLON,
    COMMA,
    DOT,
    MINUS,
    NINE,
    OPEN,
    QUOTE,
    ZERO,
    behind_blanks,
    read_flag,
    skip_text,
)

_NULL = np.array(list(b"null"), np.uint8)


@kernel
def _skip_number(text, at, stop):
    """A JSON number without exponent."""
    if at < stop and text[at] == MINUS:
        at += 1
    start = at
    while at < stop and ZERO <= text[at] <= NINE:
        at += 1
    if at == start or (text[start] == ZERO and at - start > 1):
        return ASIDE
    if at < stop and text[at] == DOT:
        at += 1
        start = at
        while at < stop and ZERO <= text[at] <= NINE:
            at += 1
        if at == start:
            return ASIDE
    return at


@kernel
def _skip_value(text, at, stop, frame):
    """A plain string, a number, true, false or null."""
    if at >= stop:
        return ASIDE
    sign = int(text[at])
    if sign == QUOTE:
        return skip_text(text, at, stop)
    if sign == MINUS or ZERO <= sign <= NINE:
        return _skip_number(text, at, stop)
    if sign != _NULL[0]:
        return read_flag(text, at, stop, frame)
    for offset in range(len(_NULL)):
        if at + offset >= stop or text[at + offset] != _NULL[offset]:
            return ASIDE
    return at + len(_NULL)


@kernel
def skip_plain(text, at, stop, frame):
    """An object of plain values, which nobody reads."""
    if at >= stop or text[at] != OPEN:
        return ASIDE
    at = behind_blanks(text, at + 1, stop)
    if at < stop and text[at] == CLOSE:
        return at + 1
    while True:
        at = skip_text(text, at, stop)
        at = behind_blanks(text, at, stop) if at != ASIDE else stop
        if at >= stop or text[at] != COLON:
            return ASIDE
        at = _skip_value(text, behind_blanks(text, at + 1, stop), stop, frame)
        at = behind_blanks(text, at, stop) if at != ASIDE else stop
        if at >= stop:
            return ASIDE
        if text[at] == CLOSE:
            return at + 1
        if text[at] != COMMA:
            return ASIDE
        at = behind_blanks(text, at + 1, stop)
