"""Where the mid stood some seconds after each fill: adverse selection shows here before it shows in P&L."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import CENT, MICROSECOND, SECOND
from kalshi_ray.evaluate.hindsight import best_prices

NO_MID = -1  # half pips: a side was missing or the book unknown


class Markout(msgspec.Struct, frozen=True, kw_only=True):
    """Mean of side x (mid after `seconds` - price) over contracts, cents, fees apart; None without such fills."""

    seconds: float
    taker_cents: float | None
    taker_fills: int
    maker_cents: float | None
    maker_fills: int


def mids_around(
    pack: ViewPack, view: int, fills: NDArray[np.void], *, seconds: Sequence[float], feed_us: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Twice the mid in pips, [fills, 1 + horizons]: just before each fill, then so many seconds after it; and the
    spread in pips just before each fill, [fills].

    NO_MID, and -1 for the spread, where a side is missing or the book unknown.
    """
    delays = np.array([-1, *(int(delay * SECOND) // MICROSECOND for delay in seconds)], np.int64)
    asked = (fills["venue_ns"][:, None] // MICROSECOND + delays[None, :]).ravel()
    order = np.argsort(asked, kind="stable")
    bid, ask = best_prices(pack, view, fills=fills, query_us=asked[order], feed_us=feed_us)
    twice, spread = np.full(len(asked), NO_MID, np.int32), np.full(len(asked), -1, np.int32)
    known = (bid >= 0) & (ask >= 0)
    twice[order], spread[order] = np.where(known, bid + ask, NO_MID), np.where(known, ask - bid, -1)
    shape = (len(fills), len(delays))
    return twice.reshape(shape), spread.reshape(shape)[:, 0].copy()


def markouts_of(
    fills: NDArray[np.void], twice_mids: NDArray[np.int32], seconds: Sequence[float]
) -> tuple[Markout, ...]:
    """One Markout by horizon; `twice_mids` [fills, 1 + horizons] as `mids_around` gives them."""
    found = []
    for column, delay in enumerate(seconds, 1):
        known = twice_mids[:, column] != NO_MID
        values = {}
        for word, wanted in (("taker", 0), ("maker", 1)):
            chosen = known & ((fills["maker"] != 0) == bool(wanted))
            size = fills["size"][chosen].astype(np.float64)
            moves = fills["side"][chosen] * (twice_mids[chosen, column] / 2 - fills["price"][chosen]) / CENT
            values[f"{word}_cents"] = float((moves * size).sum() / size.sum()) if len(size) else None
            values[f"{word}_fills"] = len(size)
        found.append(Markout(seconds=delay, **values))  # type: ignore[arg-type]  # keys are spelled above
    return tuple(found)
