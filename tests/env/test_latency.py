"""Three delays: what an order meets on its way, and when its answer is known."""

from __future__ import annotations

import pytest

from kalshi_ray.core.tape import Status
from tests.env.play import Play
from tests.tapes import book, change, gap, pack_of, settle, status, taken, trade

QUIET = book(0, {45: 100}, {48: 100})
WAKE = change(5, "bid", 40, 1)
END = change(20, "bid", 40, 1)
# The first decision stands at 0.055; its order arrives at 0.155 of the exchange's clock.


@pytest.mark.parametrize(("gone_at", "filled"), [(0.1549, 0), (0.155, 0), (0.1551, 10)])
def test_an_order_meets_what_stands_when_it_arrives(gone_at: float, filled: float) -> None:
    """The ask is withdrawn before, at or after the arrival: a row of the same time comes first."""
    play = Play(pack_of(QUIET, change(gone_at, "ask", 48, -100), WAKE, END))
    play.act("BUY_YES", 10)
    play.until(5)
    assert play.position == filled


def test_an_update_that_happened_before_the_arrival_counts_even_if_it_is_received_later() -> None:
    """The ask goes at 0.1 on the exchange; we hear of it at 3.1, long after our order missed it."""
    play = Play(pack_of(QUIET, change(0.1, "ask", 48, -100, late=3_000), WAKE, END))
    play.act("BUY_YES", 10)
    play.finish()
    assert play.fills == []


def test_an_update_after_the_arrival_does_not_count_even_if_it_is_received_first() -> None:
    """Zero feed latency, slow entry: the better price seen later is not what the order got."""
    play = Play(pack_of(QUIET, change(0.2, "ask", 47, 50, late=0), WAKE, END))
    play.act("BUY_YES", 10)
    play.until(5)
    assert play.fills == [(0.155, "bought", 48.0, 10.0, False)]


def test_an_answer_is_known_after_the_response_latency_and_not_before() -> None:
    """Decisions at 0.055, 0.305, 0.555 …: the fill of 0.155 is told at 0.655 when the answer takes half a second."""
    ticks = [one for step in range(1, 12) for one in change(step * 0.25, "bid", 40, 1)]
    play = Play(pack_of(QUIET, ticks), response_ms=500)
    play.act("BUY_YES", 10)
    known = []
    while not play.over:
        known.append((round(play.now, 3), play.position))
        play.step(0)
    assert max(at for at, held in known if held == 0) == pytest.approx(0.555)
    assert min(at for at, held in known if held == 10) == pytest.approx(0.805)


def test_an_answer_is_never_known_before_the_tape_that_caused_it() -> None:
    """A fill by a print of 1.0 that we receive at 3.0 is told then; until then older rows keep arriving."""
    late = taken(1.0, "sells", 45, 120, late=2_000)
    older = [change(0.5 + step * 0.01, "bid", 40, 1, late=1_200 + step * 100) for step in range(12)]
    rows = (book(0, {45: 100}, {48: 100}), change(0.45, "bid", 45, 50), *older, late, WAKE, END)
    play = Play(pack_of(*rows), action_space="sized21-join")
    play.act("BUY_YES", 10)
    known = []
    while not play.over:
        known.append((round(play.now, 3), play.position))
        play.step(0)
    assert [fill[0] for fill in play.fills] == [1.0]
    assert 2.7 < max(at for at, held in known if held == 0) < 3.0
    assert 3.0 < min(at for at, held in known if held == 10) < 3.3


def test_zero_latency_fills_at_what_was_seen() -> None:
    play = Play(pack_of(book(0, {45: 100}, {48: 100}, late=0), END), feed_ms=0, entry_ms=0, response_ms=0)
    play.act("BUY_YES", 10)
    assert play.fills == [(0.005, "bought", 48.0, 10.0, False)]


def test_where_the_exchange_time_is_unknown_the_feed_latency_stands_for_it() -> None:
    """A change received at 0.2 happened at 0.15 with 50 ms: before the arrival at 0.155; with 40 ms after it."""
    rows = QUIET + change(0.15, "ask", 48, -100) + WAKE + END
    unknown = pack_of([one | {"exch_ns": 0} for one in rows])
    for feed, filled in ((50.0, 0), (40.0, 10)):
        play = Play(unknown, feed_ms=feed)
        play.act("BUY_YES", 10)
        play.until(5)
        assert play.position == filled


def test_drawn_latencies_stay_within_their_spread_and_depend_on_the_seed() -> None:
    rows = [QUIET, *(change(step * 0.5, "ask", 48, 20) for step in range(1, 40))]
    arrivals = []
    for seed in (1, 2, 1):
        play = Play(pack_of(*rows), latency_spread=0.4, seed=seed, position_limit=5_000, bankroll_cents=1_000_000)
        sent = []
        while not play.over:
            sent.append(play.now)
            play.step(play.id_of("BUY_YES", 5) if play.legal("BUY_YES", 5) else 0)
        made = [fill[0] for fill in play.fills]
        arrivals.append(made)
        # Two fills of one order, where it walked, arrive together.
        delays = [at - max(t for t in sent if t < at) for at in made]
        assert all(0.06 <= delay <= 0.14 for delay in delays)
    assert arrivals[0] == arrivals[2] != arrivals[1]
    assert len(set(arrivals[0])) > 10


def test_an_order_that_arrives_in_a_gap_is_refused() -> None:
    play = Play(pack_of(QUIET, gap(0.1, late=3_000), book(4, {45: 100}, {48: 100}), END))
    play.act("BUY_YES", 10)
    play.until(4)
    assert play.fills == []
    assert play.trader["rejected"] == 1


def test_an_order_that_arrives_after_the_settlement_is_not_filled() -> None:
    """The venue settled at 0.1; we hear of it later than our order would have arrived."""
    play = Play(pack_of(QUIET, settle(0.1, 100, late=500)))
    play.act("BUY_YES", 10)
    assert play.over == "settled"
    assert play.fills == []


def test_an_order_that_arrives_after_a_pause_is_refused() -> None:
    paused = status(0.1, Status.INACTIVE, late=500) + status(2, Status.ACTIVE)
    play = Play(pack_of(QUIET, paused, WAKE, END))
    play.act("BUY_YES", 10)
    play.until(5)
    assert play.fills == []
    assert play.trader["rejected"] == 1


def test_what_is_on_its_way_when_the_tape_ends_never_arrives() -> None:
    play = Play(pack_of(QUIET, trade(0.1, "buys", 48, 1)))
    play.act("BUY_YES", 10)
    assert play.over == "tape ended"
    assert play.fills == []
    assert int(play.episode["equity_end"]) == int(play.episode["equity_start"])
