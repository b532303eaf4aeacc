"""What goes wrong on purpose, by chance from a seed: frames lost, doubled and overtaken, answers that never come.

    plan = plan_of(7)                           # or a FaultPlan of one's own
    faults = Faults(plan)
    faults.of_request()                         # what happens to one request
    line = faults.line(); line.pass_on(frames)  # what arrives of the frames of one connection

The exchange itself stays right: what is lost was done, and can be looked up.
"""

from __future__ import annotations

import random
from enum import Enum

import msgspec

from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import ConfigError

LONGEST_GAP = 6  # frames
MOST_OVERTAKING = 5  # frames


class RequestFault(Enum):
    """What happens to a request."""

    TOO_MANY = "429 before it is carried out"
    FAILED_AFTER = "5xx after it was carried out"
    TIMEOUT = "no answer after it was carried out"
    HANG_UP = "the connection ends after it was carried out"


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chances of each fault: by frame of a stream, and by request."""

    seed: int = 0
    # By frame: a run of numbered frames lost, a frame twice, one overtaken by later ones, any one frame lost.
    gap: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    drop: float = 0.0
    slow_consumer: float = 0.0  # a subscription ends with code 25
    disconnect: float = 0.0  # the connection breaks off without a close frame
    # By request.
    too_many: float = 0.0  # 429, not carried out
    failed_after: float = 0.0  # 5xx, carried out
    timeout: float = 0.0  # no answer, carried out
    hang_up: float = 0.0  # the connection ends without an answer, carried out
    skew_s: float = 0.0  # the exchange's clock ahead of this machine's

    def __post_init__(self) -> None:
        chances = {name: getattr(self, name) for name in FRAME_FAULTS + REQUEST_FAULTS}
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise ConfigError(f"the chance of {name} is between 0 and 1, got {chance}")
        for names in (FRAME_FAULTS, REQUEST_FAULTS):
            if sum(chances[name] for name in names) > 1:
                raise ConfigError(f"the chances of {', '.join(names)} add up to more than 1")
        if abs(self.skew_s) > 86_400:
            raise ConfigError(f"a skew of {self.skew_s} s is more than a day")


FRAME_FAULTS = ("gap", "duplicate", "reorder", "drop", "slow_consumer", "disconnect")
REQUEST_FAULTS = ("too_many", "failed_after", "timeout", "hang_up")
_MOST = {"gap": 2e-3, "duplicate": 5e-3, "reorder": 5e-3, "drop": 2e-3, "slow_consumer": 3e-4, "disconnect": 3e-4,
         "too_many": 0.05, "failed_after": 0.03, "timeout": 0.01, "hang_up": 0.02}  # fmt: skip


def plan_of(seed: int) -> FaultPlan:
    """A plan drawn from a seed: a trader survives it, and is not spared."""
    chance = random.Random(seed)
    drawn = {name: most * chance.random() for name, most in _MOST.items()}
    return FaultPlan(seed=seed, skew_s=round(chance.uniform(-3, 3), 3), **drawn)


class Faults:
    """One course of a plan."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self.skew_ns = round(plan.skew_s * SECOND)
        self._requests = random.Random(plan.seed)
        self._lines = 0
        self._request_faults = (
            (RequestFault.TOO_MANY, plan.too_many),
            (RequestFault.FAILED_AFTER, plan.failed_after),
            (RequestFault.TIMEOUT, plan.timeout),
            (RequestFault.HANG_UP, plan.hang_up),
        )

    def of_request(self) -> RequestFault | None:
        """What happens to the next request."""
        luck = self._requests.random()
        for fault, chance in self._request_faults:
            if luck < chance:
                return fault
            luck -= chance
        return None

    def failure_status(self) -> int:
        """A status of a failed answer."""
        return self._requests.choice((500, 502, 503, 504))

    def line(self) -> FaultyLine:
        """The way of the frames of one more connection."""
        self._lines += 1
        return FaultyLine(self.plan, random.Random(f"{self.plan.seed} {self._lines}"))


class FaultyLine:
    """The way of the frames of one connection. `is_cut`: it broke off; `is_slow`: a subscription has to end."""

    def __init__(self, plan: FaultPlan, chance: random.Random) -> None:
        self.is_cut = self.is_slow = False
        self._plan, self._chance = plan, chance
        self._gap = 0  # numbered frames still to be lost
        self._held: list[tuple[int, bytes]] = []  # how many frames overtake it yet

    def pass_on(self, frames: list[bytes]) -> list[bytes]:
        """What arrives, in the order in which it does."""
        arrived: list[bytes] = []
        for frame in frames:
            self._pass(frame, arrived)
            if self.is_cut:
                return []
        return arrived

    def _pass(self, frame: bytes, arrived: list[bytes]) -> None:
        luck, plan = self._chance.random(), self._plan
        numbered = b'"seq":' in frame[:160]
        if self._gap and numbered:
            self._gap -= 1
            return
        for name in FRAME_FAULTS:
            chance = getattr(plan, name)
            if luck < chance:
                self._go_wrong(name, frame, arrived, numbered=numbered)
                return
            luck -= chance
        self._arrive(frame, arrived)

    def _go_wrong(self, name: str, frame: bytes, arrived: list[bytes], *, numbered: bool) -> None:
        if name == "disconnect":
            self.is_cut = True
        elif name == "slow_consumer":
            self.is_slow = True
            self._arrive(frame, arrived)
        elif name == "gap" and numbered:
            self._gap = self._chance.randrange(LONGEST_GAP)
        elif name == "duplicate" and numbered:
            self._arrive(frame, arrived)
            self._arrive(frame, arrived)
        elif name == "reorder" and numbered:
            self._held.append((self._chance.randint(1, MOST_OVERTAKING), frame))
        elif name != "drop":
            self._arrive(frame, arrived)

    def _arrive(self, frame: bytes, arrived: list[bytes]) -> None:
        arrived.append(frame)
        if self._held:
            self._held = [(left - 1, held) for left, held in self._held]
            arrived += [held for left, held in self._held if left <= 0]
            self._held = [(left, held) for left, held in self._held if left > 0]
