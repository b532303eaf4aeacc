"""What a recorded session must hold, whatever happened, judged by what the exchange knows of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect.inputs import read_inputs
from kalshi_ray.collect.rebuild import compare_with_raw
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import MILLISECOND
from kalshi_ray.data.recording import ROW, rows_of
from kalshi_ray.data.replay import apply_row, make_replay, start_view, tape_of
from kalshi_ray.data.session import Session
from kalshi_ray.data.validate import validate_session
from kalshi_ray.data.views import build_pack
from tests.collect.venue import Book, Delta, Part, Print, Truth, Venue, place_of


@dataclass
class Stretch:
    """From a snapshot to the next doubt a market's book is known."""

    begins_ns: int
    book: Book  # of its snapshot
    deltas: list[Delta] = field(default_factory=list)
    prints: list[Print] = field(default_factory=list)
    restated: list[tuple[int, Book]] = field(default_factory=list)  # later snapshots: changes before, and what they say
    ends_ns: int = 0  # 0: with the session


@dataclass
class Course:
    """One market's rows, replayed with a dictionary."""

    stretches: list[Stretch] = field(default_factory=list)
    books: dict[int, Book | None] = field(default_factory=dict)  # after the rows of a time; None: unknown


def rows_in(session: Session) -> NDArray[Any]:
    """All rows of a session, ROW records in order."""
    return np.concatenate([np.empty(0, ROW), *(rows_of(session.part(name)) for name in session.parts)])


def raw_frames(session: Session) -> int:
    """How many frames of the exchange its raw lines hold."""
    lines = (one for name in session.raw_parts for one in read_inputs(session.raw_part(name), name))
    return sum(isinstance(one.content, bytes) for one in lines)


def check(session: Session, venue: Venue) -> Counter[str]:
    """Assert everything that a session must hold; return what there was of it."""
    report = validate_session(session)
    assert report.is_valid, report.findings
    difference = compare_with_raw(session)
    assert difference is None, str(difference)
    rows = rows_in(session)
    assert (np.diff(rows["recv_ns"]) >= 0).all()
    check_no_row_twice(rows)
    seen = Counter({Kind(kind).name: int(count) for kind, count in zip(*np.unique(rows["kind"], return_counts=True))})
    courses = {ticker: course_of(rows, market) for market, ticker in enumerate(session.tickers())}
    for ticker, course in courses.items():
        truth = venue.exchange.truths[ticker]
        seen["stretches"] += len(course.stretches)
        seen["changes in stretches"] += sum(len(one.deltas) for one in course.stretches)
        seen["prints in stretches"] += sum(len(one.prints) for one in course.stretches)
        check_stretches(ticker, course.stretches, truth)
    if seen["SNAPSHOT_END"]:
        check_views(session, courses)
    return seen


def check_no_row_twice(rows: NDArray[Any]) -> None:
    """No change and no print stands twice."""
    chosen = rows[np.isin(rows["kind"], (Kind.DELTA, Kind.TRADE))]
    assert len(np.unique(chosen)) == len(chosen)


def course_of(rows: NDArray[Any], market: int) -> Course:
    """The books of a market by dictionaries, and the stretches where they are known."""
    course, book, known = Course(), Book(), None
    pending: Book | None = None
    sids = set(rows["sid"][rows["market"] == market].tolist()) | {0}
    for row in rows[(rows["market"] == market) | ((rows["market"] == -1) & (rows["kind"] == Kind.GAP))]:
        kind, now = Kind(int(row["kind"])), int(row["recv_ns"])
        key, size = (int(row["side"]), int(row["price"])), int(row["size"])
        exch_ms = int(row["exch_ns"]) // MILLISECOND
        if kind is Kind.GAP:
            if row["market"] == -1 and int(row["sid"]) not in sids:
                continue
            if known is not None:
                known.ends_ns, known = now, None
        elif kind is Kind.SNAPSHOT_LEVEL:
            pending = (pending or {}) | {key: size}
        elif kind is Kind.SNAPSHOT_END:
            book, pending = pending or {}, None
            if known is None:
                known = Stretch(now, dict(book))
                course.stretches.append(known)
            else:
                known.restated.append((len(known.deltas), dict(book)))
        elif kind is Kind.DELTA and known is not None:
            book[key] = book.get(key, 0) + size
            book = {key: lots for key, lots in book.items() if lots}
            known.deltas.append((exch_ms, *key, size))
        elif kind is Kind.TRADE and known is not None:
            known.prints.append((exch_ms, key[1], size, int(row["taker"])))
        course.books[now] = dict(book) if known is not None else None
    return course


def check_stretches(ticker: str, stretches: list[Stretch], truth: Truth) -> None:
    """In each stretch every change and every print of the exchange stands once, and the book is the exchange's."""
    change = print_ = 0
    for stretch in stretches:
        where = f"{ticker} from {stretch.begins_ns}"
        book = stretch.book
        placed = place_of(truth.deltas, stretch.deltas, change, lambda at, book=book: truth.books[at] == book)  # type: ignore[misc]
        assert placed is not None, f"{where}: {len(stretch.deltas)} changes are not those of the exchange"
        for after, restated in stretch.restated:
            assert restated == truth.books[placed.first + after], f"{where}: a later snapshot is not the book"
        change = placed.last
        begins_ms = stretch.begins_ns // MILLISECOND

        def is_first(at: int, begins_ms: int = begins_ms) -> bool:
            return at == 0 or truth.prints[at - 1][0] <= begins_ms

        prints = stretch.prints
        found: Part | None = place_of(truth.prints, prints, print_, is_first if prints else lambda at: True)
        assert found is not None, f"{where}: {len(prints)} prints are not those of the exchange"
        print_ = found.last


def check_whole(session: Session, venue: Venue) -> None:
    """Nothing went wrong: each book is known once, to the end, and all that the exchange did from then on is there."""
    rows = rows_in(session)
    for market, ticker in enumerate(session.tickers()):
        (stretch,) = course_of(rows, market).stretches
        truth = venue.exchange.truths[ticker]
        first = len(truth.deltas) - len(stretch.deltas)
        assert truth.books[first] == stretch.book and truth.deltas[first:] == stretch.deltas
        assert truth.prints[len(truth.prints) - len(stretch.prints) :] == stretch.prints
        since = [one for one in truth.prints if one[0] > stretch.begins_ns // MILLISECOND]
        assert stretch.prints[len(stretch.prints) - len(since) :] == since


def check_views(session: Session, courses: dict[str, Course]) -> None:
    """The environment sees the same books at the same times."""
    pack, tickers = build_pack(session), session.tickers()
    tape, room = tape_of(pack), make_replay(pack.max_levels)
    book, state = room.book[0], room.state[0]
    for view in as_rows(pack.views):
        course, axis = courses[tickers[int(view["market"])]], pack.axes[view["axis"]]
        start_view(book, state, tape.axes, view)
        updates = tape.updates[view["start"] : view["stop"]]
        compared = 0
        for update, after in pairwise([*updates, None]):
            apply_row(book, state, update, tape.values)
            now = int(update["recv_ns"])
            if now not in course.books or (after is not None and int(after["recv_ns"]) == now):
                continue
            wanted = course.books[now]
            if after is None and wanted is None:  # a view ends with its market's recording, not in a gap that says so
                continue
            assert bool(book["known"]) == (wanted is not None), f"{tickers[int(view['market'])]} at {now}, {update}"
            if wanted is not None:
                sides, ticks = np.nonzero(book["recorded"][:, : book["levels"]])
                lots = book["recorded"][sides, ticks].tolist()
                shown = dict(zip(zip(sides.tolist(), axis[ticks].tolist()), lots))
                assert shown == wanted
            compared += 1
        assert compared or not any(one is not None for one in course.books.values())
