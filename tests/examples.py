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


def few(number: int, *, many: int) -> int:
    """For properties of which one example takes long: `number` of them by default, `many` in a run of many."""
    return many if settings.get_current_profile_name() == MANY else number
