"""The life of a market as a table, and what each step does to its orders (protocol.md section 8)."""

from __future__ import annotations

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.errors import DataError

INITIALIZED, ACTIVE, INACTIVE, CLOSED = Status.INITIALIZED, Status.ACTIVE, Status.INACTIVE, Status.CLOSED
DETERMINED, DISPUTED, AMENDED, FINALIZED = Status.DETERMINED, Status.DISPUTED, Status.AMENDED, Status.FINALIZED

# The exchange's word on the stream for a step, "" where it sends none. An absent pair cannot happen.
STEPS: dict[tuple[Status, Status], str] = {
    (INITIALIZED, ACTIVE): "",
    (INITIALIZED, INACTIVE): "deactivated",
    (INITIALIZED, CLOSED): "",
    (ACTIVE, INACTIVE): "deactivated",
    (ACTIVE, CLOSED): "",
    (INACTIVE, ACTIVE): "activated",
    (INACTIVE, CLOSED): "",
    (CLOSED, DETERMINED): "determined",
    (DETERMINED, DISPUTED): "",
    (DETERMINED, FINALIZED): "settled",
    (DISPUTED, AMENDED): "determined",
    (AMENDED, FINALIZED): "settled",
}

# Why resting orders are cancelled on the way into a state; a pause keeps those that did not ask for it.
CANCELS: dict[tuple[Status, Status], str] = {
    (INACTIVE, ACTIVE): "HaltCancel",
    (INITIALIZED, CLOSED): "CloseCancel",
    (ACTIVE, CLOSED): "CloseCancel",
    (INACTIVE, CLOSED): "CloseCancel",
}

# Why an order is refused, by state: HTTP status and code. Cancels pass in a pause.
REFUSALS: dict[Status, tuple[int, str]] = {
    INITIALIZED: (409, "market_inactive"),
    INACTIVE: (409, "trading_is_paused"),
    CLOSED: (409, "market_closed"),
    DETERMINED: (409, "market_closed"),
    DISPUTED: (409, "market_closed"),
    AMENDED: (409, "market_closed"),
    FINALIZED: (409, "market_closed"),
}
CANCELLABLE = (ACTIVE, INACTIVE)
UNSETTLED = (DETERMINED, AMENDED)
RESULTS = (DETERMINED, AMENDED, FINALIZED)  # states that a market reaches by its result alone


def step_word(ticker: str, before: Status, after: Status) -> str:
    """The word for a step of a market's life."""
    word = STEPS.get((before, after))
    if word is None:
        raise DataError(f"{ticker}: a market that is {before.name.lower()} cannot become {after.name.lower()}")
    return word


def result_of(value: int) -> str:
    """The exchange's word for what one YES pays, in pips."""
    if not 0 <= value <= DOLLAR:
        raise DataError(f"a settlement value lies between 0 and {DOLLAR} pips, got {value}")
    return {0: "no", DOLLAR: "yes"}.get(value, "scalar")
