"""What is learnt from must not be judged on: events of one part among those of another, and times that overlap."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.splits import Split
from kalshi_ray.errors import UsageError

REMEDY = "or allow it (--allow-overlap): what is measured then is partly memory"


def require_apart(pack: ViewPack, trained: NDArray[np.int32], parts: Split) -> None:
    """UsageError where an event that is trained on has markets in the validation or the test part too."""
    ours = _events(pack, trained)
    for name, views in (("validation", parts.validation), ("test", parts.test)):
        common = sorted(ours & _events(pack, views))
        if common:
            raise UsageError(
                f"{_counted(common)} in the training part and in the {name} part",
                remedy=f"Split by 'event' or 'both' (split.by), {REMEDY}",
            )


def require_apart_from(other: ViewPack, pack: ViewPack, trained: NDArray[np.int32]) -> None:
    """UsageError where `other`, which is to be validated on, shares events or time with the markets trained on."""
    common = sorted(_events(pack, trained) & set(other.events))
    if common:
        raise UsageError(
            f"{_counted(common)} among those to train on and in {other.session}, which is to be validated on",
            remedy=f"Validate on another session, {REMEDY}",
        )
    ours, theirs = _span(pack, trained), _span(other, np.arange(len(other.views)))
    if ours[0] <= theirs[1] and theirs[0] <= ours[1]:
        raise UsageError(
            f"the markets to train on, of {pack.session}, were recorded {_words(ours)}, and {other.session}, which is "
            f"to be validated on, {_words(theirs)}: these times overlap",
            remedy=f"Validate on a session of another time, {REMEDY}",
        )


def _events(pack: ViewPack, views: NDArray[np.integer]) -> set[str]:
    return {pack.events[event] for event in np.unique(pack.views["event"][views])}


def _span(pack: ViewPack, views: NDArray[np.integer]) -> tuple[int, int]:
    received, rows = pack.updates["recv_ns"], pack.views[views]
    return int(received[rows["start"]].min()), int(received[rows["stop"] - 1].max())


def _words(span: tuple[int, int]) -> str:
    first, last = (datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S") for ns in span)
    return f"from {first} to {last} UTC"


def _counted(names: Iterable[str]) -> str:
    listed = list(names)
    shown = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
    return f"event {shown} is" if len(listed) == 1 else f"{len(listed)} events ({shown}) are"
