"""When a market must be decided on, from the rule alone."""

from __future__ import annotations

from tests.reference.book import Book
from tests.reference.matching import ACTIVE, Row


def decision_times(book: Book, rows: list[tuple[int, Row]], *, burst: int, interval: int) -> list[int]:
    """Due times of a market that starts with `book`; `rows` come with the time at which they are received.

    A market is due at the first change nobody has decided on + the burst wait, but an interval after the last
    decision. Where it cannot be decided on then (unknown, locked, crossed, not active), it waits for the next change.
    """
    status, decided = ACTIVE, []
    undecided: int | None = None
    last = -(10**30)
    for received, row in [*rows, (rows[-1][0] + 1, Row(0, "other"))] if rows else []:
        due = None if undecided is None else max(undecided + burst, last + interval)
        if due is not None and due < received:
            if status == ACTIVE and book.known and not book.is_crossed():
                decided.append(due)
                last = due
            undecided = None
        changed = False
        if row.kind == "delta":
            changed = book.delta(row.side, row.tick, row.size)
        elif row.kind == "level":
            book.snapshot_level(row.side, row.tick, row.size)
        elif row.kind == "end":
            changed = book.snapshot_end()
        elif row.kind == "gap":
            book.gap()
        elif row.kind == "status":
            status = row.size
            changed = status == ACTIVE
        if changed and undecided is None:
            undecided = received
    return decided
