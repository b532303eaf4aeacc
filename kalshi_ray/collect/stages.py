"""How a market comes to a collector and goes: its origin, its stages, why it left, and what is known meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec

from kalshi_ray.core.units import SECOND

FOREVER = 2**63 - 1
PAUSE_NS = (2 * SECOND, 60 * SECOND)  # before the same is asked again: the first, doubled up to the last


class Origin(Enum):
    """How a market came to be recorded."""

    NAMED = "by name"
    KEPT = "from an earlier life of the session"
    CHOSEN = "by series, event or discovery"


class Stage(Enum):
    """How far it has come."""

    CANDIDATE = "asked for: it may belong here"
    JOINING = "chosen; its event and series are asked for"
    RECORDED = "recorded"
    CLOSED = "closed; its result is waited for"


class Reason(Enum):
    """Why a market left."""

    SETTLED = "settled"
    UNSETTLED = "not settled in time"
    UNLISTED = "not listed any more"
    UNFIT = "it cannot be recorded"


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """A market leaves. `was_recorded`: it had joined before."""

    ticker: str
    reason: Reason
    words: str
    was_recorded: bool


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now. What is asked for here is not asked for again until it was answered."""

    look: tuple[str, ...] = ()  # recorded markets: answer with `looked`
    describe: tuple[str, ...] = ()  # markets that may join: answer with `described`
    leaves: tuple[Leave, ...] = ()
    search: bool = False  # answer with `found` or `not_found`


@dataclass
class Member:
    """A market here. `state` in the word of a query; times of what comes next, FOREVER for what does not."""

    ticker: str
    origin: Origin
    stage: Stage
    state: str = ""
    open_ns: int = 0
    close_ns: int = 0
    result: str = ""
    look_ns: int = FOREVER
    leave_ns: int = FOREVER
    pause_ns: int = PAUSE_NS[0]
    queued_ns: int = FOREVER  # its place in the queue of what is due
    is_asked: bool = False
    unlisted: int = 0  # answers in a row without it
    unlisted_ns: int = 0  # when the first of them came
    lacking: int = 0  # answers in a row without its event or series
    is_doubted: bool = False  # something was heard of it before it joined
