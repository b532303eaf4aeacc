"""How often a property is tried: a share of its examples by default, all of them with `--hypothesis-profile many`."""

from __future__ import annotations

from hypothesis import settings

MANY = "many"
FEWEST = 30


def some_of(number: int) -> int:
    """All examples in a run of many; otherwise a quarter, though not fewer than 30."""
    if settings.get_current_profile_name() == MANY:
        return number
    return max(min(number, FEWEST), number // 4)
