"""Several sessions as one pack. Every view plays exactly as in the pack it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.errors import NothingToDo, UsageError

T = TypeVar("T", bound=np.generic)
NOTICES = (int(Kind.SCHEDULE), int(Kind.GRID), int(Kind.FEE), int(Kind.SIGNAL))  # their `size` is a row of `values`


def join_packs(packs: Sequence[ViewPack]) -> ViewPack:
    """One pack of all views, those of the first session first. UsageError where a session comes twice.

    Markets of one ticker in two sessions stay two views; an event of one name in two sessions is one event. The arrays
    are new: let go of the parts before the pack is shared, so that no more than two copies ever stand.
    """
    _refuse(packs)
    if len(packs) == 1:
        return packs[0]
    axes, axis_of = _joined_rows([pack.axes for pack in packs], DOLLAR)
    grids, grid_of = _joined_rows([pack.grids for pack in packs], 0)
    events = tuple(dict.fromkeys(event for pack in packs for event in pack.events))
    return replace(
        packs[0],
        session="+".join(pack.session for pack in packs),
        checksum=sha256("\n".join(pack.checksum for pack in packs).encode()).hexdigest(),
        tickers=tuple(ticker for pack in packs for ticker in pack.tickers),
        events=events,
        updates=_joined_updates(packs),
        views=_joined_views(packs, events, axis_of, grid_of),
        keyframes=_joined_keyframes(packs, grid_of),
        levels=np.concatenate([pack.levels for pack in packs]),
        axes=axes,
        grids=grids,
        values=_joined_values(packs, grid_of),
        siblings=_joined_siblings(packs),
        sibling_start=_joined_sibling_start(packs),
        depth="best" if any(pack.depth == "best" for pack in packs) else "full",
        sizes="assumed" if any(pack.sizes == "assumed" for pack in packs) else "observed",
        has_trades=all(pack.has_trades for pack in packs),
        signals=next((pack.signals for pack in packs if pack.signals), ()),
    )


def first_views(packs: Sequence[ViewPack]) -> NDArray[np.int64]:
    """[P] where the views of each pack begin in the joined one."""
    return _first_of([len(pack.views) for pack in packs])


def _refuse(packs: Sequence[ViewPack]) -> None:
    if not packs:
        raise NothingToDo("there is no session to join", remedy="Name one at least")
    for at, pack in enumerate(packs):
        for other in packs[:at]:
            if pack.session == other.session or (pack.checksum and pack.checksum == other.checksum):
                raise UsageError(
                    f"session {pack.session!r} is the same recording as {other.session!r}",
                    remedy="Name every session once",
                )
            if pack.signals and other.signals and pack.signals != other.signals:
                raise UsageError(
                    f"session {other.session!r} carries the signals {', '.join(other.signals)}, "
                    f"{pack.session!r} carries {', '.join(pack.signals)}: one observation cannot mean both",
                    remedy="Train on them apart",
                )
            if bool(len(pack.siblings)) != bool(len(other.siblings)):
                raise UsageError(
                    f"siblings are known in one of {other.session!r} and {pack.session!r} only",
                    remedy="Build all packs with siblings, or none",
                )


def _first_of(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths[:-1]))).astype(np.int64)


def _first_markets(packs: Sequence[ViewPack]) -> NDArray[np.int64]:
    """[P] what is added to the market numbers of each pack, those of siblings without a view included."""
    found = ((pack.views["market"], pack.siblings["market"]) for pack in packs)
    return _first_of([1 + int(max(views.max(initial=-1), siblings.max(initial=-1))) for views, siblings in found])


def _joined_rows(parts: list[NDArray[T]], padding: int) -> tuple[NDArray[T], list[NDArray[np.int32]]]:
    """Rows of all parts, equal ones once, padded to one length; and for each part where its rows went."""
    longest = max(part.shape[1] for part in parts)
    row_of: dict[bytes, int] = {}
    rows: list[NDArray[T]] = []
    moved = []
    for part in parts:
        wide = np.full((len(part), longest), padding, part.dtype)
        wide[:, : part.shape[1]] = part
        places = [row_of.setdefault(row.tobytes(), len(row_of)) for row in wide]
        for place, row in zip(places, wide, strict=True):
            if place == len(rows):
                rows.append(row)
        moved.append(np.array(places, np.int32))
    return np.array(rows, parts[0].dtype).reshape(-1, longest), moved


def _joined_updates(packs: Sequence[ViewPack]) -> NDArray[np.void]:
    """All updates; what refers to `values` refers to where they went."""
    joined = np.concatenate([pack.updates for pack in packs])
    starts = _first_of([len(pack.updates) for pack in packs])
    moves = _first_of([len(pack.values) for pack in packs])
    for pack, start, move in zip(packs, starts, moves, strict=True):
        own = joined[start : start + len(pack.updates)]
        own["size"][np.isin(own["kind"], NOTICES)] += np.int32(move)
    return joined


def _joined_values(packs: Sequence[ViewPack], grid_of: list[NDArray[np.int32]]) -> NDArray[np.int64]:
    parts = []
    for pack, moved in zip(packs, grid_of, strict=True):
        values = pack.values.copy()
        changes = np.unique(pack.updates["size"][pack.updates["kind"] == Kind.GRID])
        values[changes] = moved[values[changes]]
        parts.append(values)
    return np.concatenate(parts)


def _joined_views(
    packs: Sequence[ViewPack],
    events: tuple[str, ...],
    axis_of: list[NDArray[np.int32]],
    grid_of: list[NDArray[np.int32]],
) -> NDArray[np.void]:
    event_row = {event: row for row, event in enumerate(events)}
    joined = np.concatenate([pack.views for pack in packs])
    markets = _first_markets(packs)
    siblings = _first_of([len(pack.sibling_start) - 1 for pack in packs])
    updates = _first_of([len(pack.updates) for pack in packs])
    keyframes = _first_of([len(pack.keyframes) for pack in packs])
    for at, (pack, first) in enumerate(zip(packs, first_views(packs), strict=True)):
        own = joined[first : first + len(pack.views)]
        own["market"] += np.int32(markets[at])
        own["event"] = np.array([event_row[event] for event in pack.events], np.int32)[own["event"]]
        own["siblings"] += np.int32(siblings[at])
        own["start"] += updates[at]
        own["stop"] += updates[at]
        own["key_start"] += keyframes[at]
        own["key_stop"] += keyframes[at]
        own["axis"] = axis_of[at][own["axis"]]
        own["grid"] = grid_of[at][own["grid"]]
    return joined


def _joined_keyframes(packs: Sequence[ViewPack], grid_of: list[NDArray[np.int32]]) -> NDArray[np.void]:
    joined = np.concatenate([pack.keyframes for pack in packs])
    starts = _first_of([len(pack.keyframes) for pack in packs])
    updates = _first_of([len(pack.updates) for pack in packs])
    levels = _first_of([len(pack.levels) for pack in packs])
    for at, (pack, start) in enumerate(zip(packs, starts, strict=True)):
        own = joined[start : start + len(pack.keyframes)]
        own["at"] += updates[at]
        own["level_start"] += levels[at]
        own["level_stop"] += levels[at]
        own["grid"] = grid_of[at][own["grid"]]
    return joined


def _joined_siblings(packs: Sequence[ViewPack]) -> NDArray[np.void]:
    joined = np.concatenate([pack.siblings for pack in packs])
    starts = _first_of([len(pack.siblings) for pack in packs])
    markets = _first_markets(packs)
    for pack, start, move in zip(packs, starts, markets, strict=True):
        joined[start : start + len(pack.siblings)]["market"] += np.int32(move)
    return joined


def _joined_sibling_start(packs: Sequence[ViewPack]) -> NDArray[np.int64]:
    """Where each event of each session starts; events are not merged here: a sibling is one of the same session."""
    starts = _first_of([len(pack.siblings) for pack in packs])
    parts = [pack.sibling_start[:-1] + start for pack, start in zip(packs, starts, strict=True)]
    return np.concatenate([*parts, [packs[-1].sibling_start[-1] + starts[-1]]]).astype(np.int64)
