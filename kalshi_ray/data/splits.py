"""Train, validation and test: disjoint by event and by time, with what overlaps a cut left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import ConfigError, NothingToDo

PARTS = ("train", "validation", "test")
_CANDIDATES = 200  # cut times tried


class SplitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How markets are divided.

    `event`: whole events, drawn by `seed`; their times may overlap between parts.
    `time`: markets in order of time; those that live across a cut are left out; an event may have markets in two parts.
    `both`: whole events in order of time; events that live across a cut are left out.
    """

    # Share to train on.
    train: float = 0.6
    # Share for checkpoints and early stopping.
    validation: float = 0.2
    # Share for gates.
    test: float = 0.2
    # Disjoint by event, by time, or by both.
    by: Literal["event", "time", "both"] = "both"
    # Of the draw of events, where `by` is event.
    seed: int = 0
    # Shortest pause between the last update of a part and the first of the next, s.
    purge_s: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        if min(shares) < 0.0 or not np.isclose(sum(shares), 1.0):
            raise ConfigError(f"shares {shares} of train, validation and test, expected none below 0 and a sum of 1")
        if self.purge_s < 0.0:
            raise ConfigError(f"purge_s is {self.purge_s}, expected 0 or more")


class SplitPart(msgspec.Struct, frozen=True):
    """One line of the printed table."""

    part: str
    events: int
    markets: int
    decisions: int
    first_ns: int  # 0 where the part is empty
    last_ns: int


@dataclass(frozen=True)
class Split:
    """View indices by part; `purged` lived across a cut. `parts` has a line for each of the four."""

    train: NDArray[np.int32]
    validation: NDArray[np.int32]
    test: NDArray[np.int32]
    purged: NDArray[np.int32]
    parts: list[SplitPart]


def split_views(pack: ViewPack, settings: SplitSettings, views: NDArray[np.integer] | None = None) -> Split:
    """Divide the views of a pack, or the given ones. NothingToDo, with advice, where a part would be empty."""
    chosen = np.arange(len(pack.views), dtype=np.int32) if views is None else np.asarray(views, np.int32)
    if len(chosen) == 0:
        raise NothingToDo("there is no market to split")
    keys = chosen if settings.by == "time" else pack.views["event"][chosen]
    units, unit_of = np.unique(keys, return_inverse=True)
    first, last = _spans(pack, chosen, unit_of, len(units))
    shares = np.array([settings.train, settings.validation, settings.test])
    if settings.by == "event":
        part = _draw(len(units), shares, settings.seed)
    else:
        part = _cut(first, last, shares, round(settings.purge_s * SECOND))
    train, validation, test, purged = (chosen[part[unit_of] == number] for number in range(4))
    members = (train, validation, test, purged)
    rows = [_describe(pack, name, found) for name, found in zip((*PARTS, "purged"), members)]
    _refuse_empty(rows, shares, settings, len(units))
    return Split(train, validation, test, purged, rows)


def _spans(
    pack: ViewPack, views: NDArray[np.int32], unit_of: NDArray[np.intp], units: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last receive time of each event or market, [units]."""
    received = pack.updates["recv_ns"]
    first = np.full(units, np.iinfo(np.int64).max)
    last = np.zeros(units, np.int64)
    np.minimum.at(first, unit_of, received[pack.views["start"][views]])
    np.maximum.at(last, unit_of, received[pack.views["stop"][views] - 1])
    return first, last


def _draw(units: int, shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Parts of whole events in an order drawn by `seed`; a wanted part gets one event at least if there are enough."""
    counts = np.floor(shares * units + 1e-9).astype(int)
    wanted = shares > 0.0
    if units >= wanted.sum():
        counts[wanted & (counts == 0)] = 1
    while counts.sum() != units:
        lacking = shares * units - counts
        counts[np.argmax(lacking) if counts.sum() < units else np.argmin(np.where(counts > 1, lacking, np.inf))] += (
            1 if counts.sum() < units else -1
        )
    part = np.repeat(np.arange(3), counts)
    order = np.random.default_rng(seed).permutation(units)
    drawn = np.empty(units, np.int64)
    drawn[order] = part
    return drawn


def _cut(
    first: NDArray[np.int64], last: NDArray[np.int64], shares: NDArray[np.float64], purge_ns: int
) -> NDArray[np.int64]:
    """Parts in order of time by the two cuts that come nearest to the shares; 3 is purged."""
    starts = np.unique(first)
    if len(starts) > _CANDIDATES:
        starts = starts[np.linspace(0, len(starts) - 1, _CANDIDATES).astype(int)]
    ends = np.append(starts, np.iinfo(np.int64).max)  # one past all: nothing after it
    best, chosen = np.inf, np.full(len(first), 3)
    for one in ends if shares[0] > 0.0 else ends[:1]:
        train = last < one - purge_ns if shares[0] > 0.0 else np.zeros(len(first), bool)
        after = first >= one if shares[0] > 0.0 else np.ones(len(first), bool)
        for two in ends[ends >= one]:
            validation = after & (last < two - purge_ns)
            test = after & (first >= two)
            counts = np.array([train.sum(), validation.sum(), test.sum()])
            empty = ((counts == 0) & (shares > 0.0)).sum()
            cost = len(first) * 10.0 * empty + np.abs(counts - shares * len(first)).sum()
            if cost < best:
                best = cost
                chosen = np.where(train, 0, np.where(validation, 1, np.where(test, 2, 3)))
    return chosen


def _describe(pack: ViewPack, name: str, views: NDArray[np.int32]) -> SplitPart:
    if len(views) == 0:
        return SplitPart(name, 0, 0, 0, 0, 0)
    rows = pack.views[views]
    received = pack.updates["recv_ns"]
    first, last = int(received[rows["start"]].min()), int(received[rows["stop"] - 1].max())
    return SplitPart(name, len(np.unique(rows["event"])), len(views), int(rows["steps"].sum()), first, last)


def _refuse_empty(rows: list[SplitPart], shares: NDArray[np.float64], settings: SplitSettings, units: int) -> None:
    empty = [row.part for row, share in zip(rows, shares) if share > 0.0 and row.markets == 0]
    if not empty:
        return
    unit = "markets" if settings.by == "time" else "events"
    advice = "Record more, or take several sessions"
    if settings.by != "event" and units > 2:
        advice = "Their times overlap: split by='event', lower purge_s, or take several sessions"
    raise NothingToDo(f"{' and '.join(empty)} would be empty: {units} {unit} split by {settings.by!r}", remedy=advice)
