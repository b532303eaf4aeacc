"""Action spaces: named, versioned tables. The name holds pricing and time in force, the fingerprint everything.

sized21           HOLD and 4 intents x 5 sizes; immediate-or-cancel at the touch
sized21-join      the same sizes; post-only at the best price of the own side, good till the order lifetime
sized21-improve   the same, one tick better
sized21-small     sizes 1, 5, 10, 50, 100 instead of 5, 10, 20, 50, 100
intent5           one size of 10 contracts (intent5-join rests)
priced7           one contract, three prices a side: at the far touch, one tick inside it, at the own touch
generic[…]        any sizes and pricings, see `generic`
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.units import CONTRACT
from kalshi_ray.errors import UnknownName, UsageError


class Intent(IntEnum):
    """What an action wants. BUY opens or adds, netting the other side first; SELL only reduces."""

    HOLD = 0
    BUY_YES = 1
    SELL_YES = 2
    BUY_NO = 3
    SELL_NO = 4


class Pricing(IntEnum):
    """Where the order stands. TAKE and INSIDE count from the far touch, JOIN and IMPROVE from the own one."""

    NONE = 0
    TAKE = 1  # at the far touch, immediate-or-cancel
    INSIDE = 2  # one tick inside the far touch, post-only
    JOIN = 3  # at the own touch, post-only
    IMPROVE = 4  # one tick better than the own touch, post-only


# `group` numbers the runs of one intent and pricing with ascending sizes: what a mask computes once.
ACTION = np.dtype([("intent", np.int8), ("pricing", np.int8), ("group", np.int32), ("size", np.int64)], align=True)


@dataclass(frozen=True)
class ActionSpec:
    """One action space. `table` is [A] ACTION records; id 0 is HOLD."""

    name: str
    table: NDArray[np.void]

    @property
    def size(self) -> int:
        """A, the number of actions."""
        return len(self.table)

    @property
    def fingerprint(self) -> str:
        """Hash of every id's meaning: what a bundle stores and a loader compares."""
        meaning = [self.describe(action) for action in range(self.size)]
        return hashlib.sha256(json.dumps(["actions", 1, meaning]).encode()).hexdigest()[:16]

    def describe(self, action: int) -> dict[str, str | int | float]:
        """The meaning of one id, in words and contracts."""
        if not 0 <= action < self.size:
            raise UsageError(f"action {action} is not in {self.name}, which has ids 0 to {self.size - 1}")
        row = self.table[action]
        pricing = Pricing(int(row["pricing"]))
        return {
            "id": action,
            "intent": Intent(int(row["intent"])).name,
            "contracts": int(row["size"]) / CONTRACT,
            "pricing": pricing.name,
            "time_in_force": {Pricing.NONE: "", Pricing.TAKE: "IOC"}.get(pricing, "GTC post-only"),
        }


def _spec(name: str, rows: list[tuple[Intent, Pricing, int]]) -> ActionSpec:
    table = np.zeros(len(rows) + 1, ACTION)
    group = 0
    for index, (intent, pricing, contracts) in enumerate(rows, 1):
        before = table[index - 1]
        if (int(before["intent"]), int(before["pricing"])) != (intent, pricing):
            group += 1
        elif contracts * CONTRACT <= before["size"]:
            raise UsageError(f"sizes of {name} must ascend, got {contracts} after {before['size'] // CONTRACT}")
        table[index] = (intent, pricing, group, contracts * CONTRACT)
    table.setflags(write=False)
    return ActionSpec(name, table)


def generic(sizes: list[int], pricings: list[Pricing]) -> ActionSpec:
    """HOLD and every intent x pricing x size, in that order of nesting; sizes in contracts, ascending."""
    name = f"generic[{','.join(map(str, sizes))};{','.join(p.name.lower() for p in pricings)}]"
    if not sizes or not pricings or min(sizes) <= 0 or max(sizes) > LARGEST_SIZE:
        raise UsageError(f"{name} needs sizes from 1 to {LARGEST_SIZE:,} contracts and at least one pricing")
    intents = [intent for intent in Intent if intent is not Intent.HOLD]
    return _spec(name, [(i, p, s) for i in intents for p in pricings for s in sizes])


def _sized(name: str, sizes: list[int], pricing: Pricing) -> ActionSpec:
    return ActionSpec(name, generic(sizes, [pricing]).table)


DOCUMENT_SIZES = [5, 10, 20, 50, 100]
SMALL_SIZES = [1, 5, 10, 50, 100]
LARGEST_SIZE = 10_000_000  # contracts that fees are exact for

_PRICED = [Pricing.TAKE, Pricing.INSIDE, Pricing.JOIN]

ACTION_SPACES: dict[str, ActionSpec] = {
    spec.name: spec
    for spec in (
        _sized("sized21", DOCUMENT_SIZES, Pricing.TAKE),
        _sized("sized21-join", DOCUMENT_SIZES, Pricing.JOIN),
        _sized("sized21-improve", DOCUMENT_SIZES, Pricing.IMPROVE),
        _sized("sized21-small", SMALL_SIZES, Pricing.TAKE),
        _sized("intent5", [10], Pricing.TAKE),
        _sized("intent5-join", [10], Pricing.JOIN),
        _spec(
            "priced7",
            [(Intent.BUY_YES, p, 1) for p in _PRICED] + [(Intent.SELL_YES, p, 1) for p in _PRICED],
        ),
    )
}

_GENERIC = re.compile(r"generic\[([\d,]+);([a-z,]+)\]")


def action_space(name: str) -> ActionSpec:
    """The action space of that name; `generic[5,20;take,join]` is built on demand."""
    if name in ACTION_SPACES:
        return ACTION_SPACES[name]
    match = _GENERIC.fullmatch(name)
    if match is None:
        raise UnknownName("action space", name, [*ACTION_SPACES, "generic[SIZES;PRICINGS]"])
    pricings = []
    for word in match[2].split(","):
        if word.upper() not in Pricing.__members__ or word == "none":
            raise UnknownName("pricing", word, [p.name.lower() for p in Pricing if p is not Pricing.NONE])
        pricings.append(Pricing[word.upper()])
    return generic([int(size) for size in match[1].split(",") if size], pricings)


def decode(spec: ActionSpec, action: int) -> tuple[Intent, Pricing, int]:
    """(intent, pricing, lots) of one id."""
    spec.describe(action)
    row = spec.table[action]
    return Intent(int(row["intent"])), Pricing(int(row["pricing"])), int(row["size"])
