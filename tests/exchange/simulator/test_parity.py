"""An order placed in the simulator fills as the environment fills it on the same tape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.markets import raw_commands, raw_rows, rows_of
from tests.core.records import ASK, BID, T0
from tests.exchange.simulator.venue_pair import VenuePair, play
from tests.reference.matching import Command, Row

MS = 1_000_000


def lawful_rows(seed: int) -> list[Row]:
    """A random tape without snapshots that are broken off, up to its settlement: an exchange shows neither."""
    raw = [row for row in raw_rows(seed) if not (row[1] == "odd" and row[5] == 9)]
    rows = rows_of(raw)
    ends = [at for at, row in enumerate(rows) if row.kind == "settlement"]
    return rows[: ends[0] + 1] if ends else rows


@given(seed=st.integers(0, 2**32), model=st.integers(0, 2), precision=st.sampled_from([100, 10_000]))
def test_one_account_fills_as_in_the_environment(seed: int, model: int, precision: int) -> None:
    """Sizes, prices, times, fees, refusals, places in the queue, on random tapes with gaps, pauses and settlements."""
    pair = VenuePair(lawful_rows(seed), model, precision)
    play(pair, raw_commands(seed))
    pair.check_same()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_the_same_holds_over_many_tapes(part: int) -> None:
    for seed in range(300 * part, 300 * part + 300):
        pair = VenuePair(lawful_rows(seed), seed % 3, (100, 10_000)[seed % 2], audited=False)
        play(pair, raw_commands(seed))
        pair.check_same()


def test_the_random_tapes_fill_both_ways() -> None:
    """Else the property above would prove nothing."""
    found = {"maker": 0, "taker": 0, "refused": 0}
    for seed in range(12):
        pair = VenuePair(lawful_rows(seed))
        play(pair, raw_commands(seed))
        found["maker"] += sum(fill.maker for fill in pair.venue_fills)
        found["taker"] += sum(not fill.maker for fill in pair.venue_fills)
        found["refused"] += sum(venue for venue, _ in pair.refused)
    assert min(found.values()) > 10, found


BUY = Command("create", BID, 1, BID, 49, 25)
HAND_TAPES = {
    "print, then its decrease": [
        Row(T0 + 2 * MS, "print", tick=49, size=10, taker=ASK),
        Row(T0 + 2 * MS, "delta", BID, 49, -10, by_trade=True),
        Row(T0 + 3 * MS, "print", tick=49, size=7, taker=ASK),
    ],
    "decrease, then its print": [
        Row(T0 + 2 * MS, "delta", BID, 49, -10, by_trade=True),
        Row(T0 + 2 * MS, "print", tick=49, size=30, taker=ASK),
    ],
    "a print through the price": [Row(T0 + 2 * MS, "print", tick=47, size=12, taker=ASK)],
    "the far side comes to us": [
        Row(T0 + 2 * MS, "delta", BID, 49, -10),
        Row(T0 + 2 * MS, "delta", ASK, 49, 18),
        Row(T0 + 3 * MS, "delta", ASK, 48, 18),
    ],
    "touch and cancel alone": [Row(T0 + 2 * MS, "delta", BID, 49, -10), Row(T0 + 3 * MS, "delta", ASK, 50, 40)],
    "a snapshot through us": [
        Row(T0 + 2 * MS, "level", BID, 40, 10),
        Row(T0 + 2 * MS, "level", ASK, 45, 9),
        Row(T0 + 2 * MS, "end"),
    ],
}


@pytest.mark.parametrize("model", [0, 1, 2])
@pytest.mark.parametrize("name", HAND_TAPES)
def test_hand_tapes_fill_as_in_the_environment(name: str, model: int) -> None:
    """The rules of market-rules.md section 5, one by one."""
    pair = VenuePair(HAND_TAPES[name], model)
    pair.advance(T0 + MS)
    pair.send(BUY, T0 + MS)
    pair.advance(T0 + 100 * MS)
    pair.check_same()
    assert bool(pair.venue_fills) == (name != "touch and cancel alone")
