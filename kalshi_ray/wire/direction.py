"""Which way an order or a fill goes, in today's words and in the deprecated ones.

On orders `(action, side)` is the leg that is traded. On fills `side` alone is the outcome acquired, and `action` has no
sign.
"""

from __future__ import annotations

from kalshi_ray.core.units import Side
from kalshi_ray.errors import WireError

_BOOK = {"bid": Side.BID, "ask": Side.ASK}
_OUTCOME = {"yes": Side.BID, "no": Side.ASK}
_LEG = {
    ("buy", "yes"): Side.BID,
    ("sell", "no"): Side.BID,
    ("buy", "no"): Side.ASK,
    ("sell", "yes"): Side.ASK,
}


def side_of(book_side: str, outcome_side: str) -> Side:
    """The side in today's words; either may be missing. NONE if neither says anything that is known."""
    book, outcome = _BOOK.get(book_side, Side.NONE), _OUTCOME.get(outcome_side, Side.NONE)
    if Side.NONE not in (book, outcome) and book is not outcome:
        raise WireError(f"book_side {book_side} and outcome_side {outcome_side} contradict each other")
    return outcome if book is Side.NONE else book


def side_of_order(book_side: str, outcome_side: str, action: str, leg: str) -> Side:
    """The side of an order; of the traded leg where a recording is older than today's words."""
    return (
        _LEG.get((action, leg), Side.NONE) if not book_side and not outcome_side else side_of(book_side, outcome_side)
    )


def side_of_fill(book_side: str, outcome_side: str, acquired: str) -> Side:
    """The side of a fill; of the outcome acquired where a recording is older than today's words."""
    return _OUTCOME.get(acquired, Side.NONE) if not book_side and not outcome_side else side_of(book_side, outcome_side)


def book_word(side: Side) -> str:
    """bid or ask."""
    if side is Side.NONE:
        raise WireError("a side is to be written and there is none")
    return "bid" if side is Side.BID else "ask"


def outcome_word(side: Side) -> str:
    """yes or no: what the side is positioned for."""
    return "yes" if book_word(side) == "bid" else "no"


def words_of(side: Side) -> dict[str, str]:
    """Today's words and the deprecated ones: an ask is written as the purchase of NO, right for orders and fills."""
    outcome = outcome_word(side)
    return {"outcome_side": outcome, "book_side": book_word(side), "side": outcome, "action": "buy"}
