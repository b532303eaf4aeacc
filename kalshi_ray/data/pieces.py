"""The names of a session's pieces, the same in every store."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kalshi_ray.data.files import PARTIAL

MANIFEST = "session.json"  # written last: what has none is not finished
DRAFT = "session.draft.json"  # the manifest as known so far; what `recover` and `resume` start from
LOCK = "writer.lock"  # who writes it
MARKETS_FILE = "markets.parquet"
TRUTH_FILE = "truth.parquet"

_PART = re.compile(r"updates/part-(\d{5,})\.parquet")
_RAW = re.compile(r"raw/part-(\d{5,})\.jsonl\.zst")


def part_name(number: int) -> str:
    """Name of the updates of that number."""
    return f"updates/part-{number:05d}.parquet"


def raw_name(number: int) -> str:
    """Name of the received frames of that number."""
    return f"raw/part-{number:05d}.jsonl.zst"


def parts_among(names: Iterable[str]) -> list[str]:
    """The parts of updates, in order."""
    return sorted((name for name in names if _PART.fullmatch(name)), key=_by_number)


def raws_among(names: Iterable[str]) -> list[str]:
    """The parts of received frames, in order."""
    return sorted((name for name in names if _RAW.fullmatch(name)), key=_by_number)


def number_of(name: str) -> int:
    """The number of a part of updates or of received frames. ValueError for other names."""
    found = _PART.fullmatch(name) or _RAW.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} is no part of a session")
    return int(found[1])


def is_litter(name: str) -> bool:
    """Whether it is what a crash leaves of a write to a folder: of no use to anybody."""
    return name.endswith(PARTIAL) or name.startswith(f"{LOCK}.")


def _by_number(name: str) -> tuple[int, str]:
    return number_of(name), name
