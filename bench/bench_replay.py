"""Replay without decisions: book and queue, beside hftbacktest on equal streams.

Both sides keep one bid at rest where nobody trades, at the busiest such level, so that their queue models have work
through the whole stream. They are compared twice with equal work: the exchange's side alone, and together with the
trader's book, which follows a feed latency later. At the end of each stream positions, orders and best prices agree.
"""

from __future__ import annotations

from functools import cache

from bench.figures import Figure, Measured
from bench.machine import on_one_core, timed
from bench.replays import Ours, Theirs, passing
from bench.sessions import CALIBRATED, pack_of
from bench.streams import Stream, streams_of

STREAMS = 64


@cache
def _streams() -> list[Stream]:
    return streams_of(pack_of(CALIBRATED), STREAMS)


def _replay(*, trader: bool) -> Measured:
    pack, streams = pack_of(CALIBRATED), _streams()
    ours, theirs = Ours(pack, trader=trader), Theirs(pack, trader=trader)
    seen: list[tuple[int, int] | None] = []
    also_seen: list[tuple[int, int] | None] = []
    mine, peer = timed(lambda: passing(ours, streams, seen), lambda: passing(theirs, streams, also_seen), passes=5)
    if seen != also_seen:
        raise AssertionError(f"the books end differently: {seen} here, {also_seen} there")
    count = sum(len(stream.updates) for stream in streams)
    note = (
        f"{mine.rates(count)}; peer {peer.rates(count)}, ratio by CPU time {peer.cpu / mine.cpu:.2f}; "
        f"{count:,} updates of {len(streams)} markets"
    )
    return Measured(count / mine.median, count / peer.median, note)


def exchange_side() -> Measured:
    """Book, resting order and queue on the exchange."""
    return _replay(trader=False)


def both_sides() -> Measured:
    """The same and the book that the trader sees."""
    return _replay(trader=True)


PEER = "hftbacktest, vector book"
FIGURES = [
    Figure(
        name="replay, book and queue",
        unit="updates/s",
        measure=on_one_core(exchange_side),
        peer=PEER,
        floor=30e6,
        ratio_floor=1.5,
    ),
    Figure(
        name="replay, book, queue and the trader's book",
        unit="updates/s",
        measure=on_one_core(both_sides),
        peer=PEER,
    ),
]
