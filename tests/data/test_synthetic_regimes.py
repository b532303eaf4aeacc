"""The rules of each regime, as statistics over many markets. Seeds are fixed: a failure is a change, not bad luck."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import CONTRACT, DOLLAR, SECOND, Side
from kalshi_ray.data.synthetic import SynthSettings, uninformed_share
from kalshi_ray.data.synthetic.layout import ONE
from kalshi_ray.data.synthetic.session import run, start
from tests.data.synthetic_books import Generated, generated, moments


def standard_errors(values: NDArray[np.floating]) -> float:
    """How far the mean lies from zero, in standard errors."""
    return float(abs(values.mean()) / (values.std() / np.sqrt(len(values))))


@pytest.mark.parametrize(
    ("regime", "grid"), [("null", "cent"), ("null", "finest"), ("planted", "cent"), ("calibrated", "mixed")]
)
def test_p_is_a_martingale_over_two_thousand_markets(regime: str, grid: str) -> None:
    share = {"uninformed": 0.5} if regime == "calibrated" else {}
    made = SynthSettings(regime=regime, markets=2_000, hours=0.25, waves=1, grid=grid, settle=False, **share)  # type: ignore[arg-type]
    state = start(made)
    first = state.markets["p"].copy()
    for _ in run(state):
        pass
    last = state.markets["p"] + state.markets["signal"] * state.stream["shift"][0]
    change = (last - first) / ONE
    if regime == "calibrated":  # strikes of an event move against each other: one of each event is independent
        change = change[state.events["first"]]
    assert change.std() > 0.02
    assert standard_errors(change) < 3.0


@cache
def settled() -> Generated:
    """Many short markets with results."""
    return generated(SynthSettings(regime="null", markets=2_000, hours=0.03, waves=1, seed=1))


def test_markets_settle_at_the_rate_of_their_last_probability() -> None:
    session = settled()
    last, won = [], []
    for market in range(2_000):
        chances = session.truth_of(market)[1]
        last.append(chances[-2])
        won.append(chances[-1])
    last_p, result = np.array(last), np.array(won)
    assert set(result.tolist()) == {0.0, 1.0}
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (last_p >= low) & (last_p < low + 0.25)
        assert standard_errors((result - last_p)[inside]) < 3.0


def test_at_most_one_strike_of_an_event_wins_and_each_as_often_as_it_should() -> None:
    made = SynthSettings(regime="calibrated", markets=3_000, strikes=6, hours=0.02, waves=1, uninformed=0.5, seed=4)
    chances: dict[int, list[float]] = {}
    for _, truth in run(start(made)):
        for market, p in zip(truth["market"].to_pylist(), truth["p"].to_pylist()):
            chances.setdefault(market, []).append(p)
    before = np.array([chances[market][-2] for market in range(3_000)]).reshape(500, 6)
    won = np.array([chances[market][-1] for market in range(3_000)]).reshape(500, 6)
    assert (won.sum(axis=1) <= 1).all()
    for expected, found in (*zip(before.T, won.T), (before.sum(axis=1), won.sum(axis=1))):
        error = np.sqrt((expected * (1 - expected)).sum())
        assert abs((found - expected).sum()) < 3 * error


@cache
def null_session() -> Generated:
    return generated(SynthSettings(regime="null", markets=24, hours=0.3, waves=1, seed=2))


def test_null_every_hypothetical_fill_has_a_negative_edge_before_fees() -> None:
    """Taking at the touch up to a second later, joining, improving, and being reached by the other side."""
    session = null_session()
    chance = np.random.default_rng(0)
    taken = rested = 0
    for market in range(24):
        times, chances, _ = session.truth_of(market)
        replay = [moment for moment in moments(session.of(market)) if moment.known]
        at = np.array([moment.exch_ns for moment in replay])
        bid, ask = (np.array([getattr(moment, side) for moment in replay]) for side in ("bid", "ask"))
        last = at[-1] - 20 * SECOND
        arrival = chance.integers(at[0], last, 4_000) + chance.integers(0, SECOND, 4_000)
        book = np.searchsorted(at, arrival, side="right") - 1
        p = chances[np.searchsorted(times, arrival, side="right") - 1] * DOLLAR
        has_ask, has_bid = ask[book] < DOLLAR, bid[book] > 0
        assert (p - ask[book] < 0)[has_ask].all()
        assert (bid[book] - p < 0)[has_bid].all()
        taken += int(has_ask.sum() + has_bid.sum())
        for moment in replay:
            p_after = chances[np.searchsorted(times, moment.exch_ns, side="right") - 1] * DOLLAR
            for kind, side, price, size, _ in moment.rows:
                # A bid resting at `price` or above is filled by a print against bids, or reached by an ask.
                if kind == Kind.TRADE or (kind == Kind.DELTA and size > 0):
                    filled_side = side if kind == Kind.TRADE else 1 - side
                    assert (p_after - price) * (1 - 2 * filled_side) < 0
                    rested += 1
    assert taken > 100_000
    assert rested > 5_000


def test_null_a_taker_order_leaves_p_half_a_tick_beyond_its_last_price() -> None:
    session = null_session()
    depths = []
    for market in range(24):
        times, chances, _ = session.truth_of(market)
        for moment in moments(session.of(market)):
            prints = [(side, price) for kind, side, price, _, _ in moment.rows if kind == Kind.TRADE]
            if prints:
                side, price = prints[-1]
                p = chances[np.searchsorted(times, moment.exch_ns)] * DOLLAR
                assert p == pytest.approx(price + (50 if side == Side.ASK else -50))
                depths.append(len(prints))
    shares = np.bincount(depths)[1:] / len(depths)
    assert shares == pytest.approx([0.9, 0.08, 0.02], abs=3 * 0.3 / np.sqrt(len(depths)))


def test_null_times_and_sizes_do_not_tell_the_direction_of_a_print() -> None:
    session = generated(SynthSettings(regime="null", markets=400, hours=0.3, waves=1, seed=4))
    rows = session.rows
    prints = rows["kind"] == Kind.TRADE
    bought = rows["taker"][prints] == Side.BID
    size = np.log(rows["size"][prints])
    wait = np.log(np.diff(rows["exch_ns"], prepend=rows["exch_ns"][0])[prints] + 1.0)
    for told in (size, wait):
        gap = told[bought].mean() - told[~bought].mean()
        error = np.sqrt(told[bought].var() / bought.sum() + told[~bought].var() / (~bought).sum())
        assert abs(gap) < 3 * error


@cache
def planted_session() -> Generated:
    return generated(SynthSettings(regime="planted", markets=64, waves=1, seed=3, settle=False))


def signals_of(session: Generated, market: int) -> list[tuple[int, int, int, float, float]]:
    """(begin ns, end ns, side, p quoted before, p after) of every whole signal."""
    times, chances, signal = session.truth_of(market)
    found = []
    for at in np.flatnonzero(signal[:-1] != 0):
        if signal[at + 1] == 0:
            quoted = chances[at] - signal[at] * session.shift
            found.append((int(times[at]), int(times[at + 1]), int(signal[at]), quoted, float(chances[at + 1])))
    return found


def test_planted_signals_last_three_seconds_and_p_jumps_their_way_nine_times_in_ten() -> None:
    session = planted_session()
    found = [signal for market in range(64) for signal in signals_of(session, market)]
    assert len(found) > 800
    begin, end, side, before, after = (np.array(column) for column in zip(*found))
    assert set((end - begin).tolist()) == {3 * SECOND}
    assert ((before > 0.15) & (before < 0.85)).all()
    assert np.abs(after - before) == pytest.approx(0.08)
    right = np.sign(after - before) == side
    assert right.mean() == pytest.approx(0.9, abs=3 * 0.3 / np.sqrt(len(right)))
    assert side.mean() == pytest.approx(0.0, abs=3 / np.sqrt(len(side)))


def test_planted_a_signal_multiplies_one_side_by_four_and_holds_quotes_and_prints() -> None:
    session = planted_session()
    for market in range(8):
        spans = signals_of(session, market)
        replay = [moment for moment in moments(session.of(market)) if moment.known]
        at = np.array([moment.exch_ns for moment in replay])
        for begin, end, side, _, _ in spans:
            first, stop = np.searchsorted(at, [begin, end])
            before, during = replay[first - 1], replay[first:stop]
            heavy, light = (0, 1) if side > 0 else (1, 0)
            assert {price: 4 * size for price, size in before.levels[heavy].items()} == during[0].levels[heavy]
            assert before.levels[light] == during[0].levels[light]
            assert all((moment.bid, moment.ask) == (before.bid, before.ask) for moment in during)
            assert not any(kind == Kind.TRADE for moment in during for kind, *_ in moment.rows)
            after = replay[stop]
            assert max(after.levels[heavy].values()) <= 700 * CONTRACT


def test_planted_touches_hold_five_hundred_contracts_and_quotes_stand_a_cent_around_p() -> None:
    session = planted_session()
    spreads = []
    for market in range(16):
        for moment in moments(session.of(market)):
            if moment.bid > 0 and moment.ask < DOLLAR:
                assert moment.levels[0][moment.bid] >= 500 * CONTRACT
                assert moment.levels[1][moment.ask] >= 500 * CONTRACT
                spreads.append(moment.ask - moment.bid)
    assert set(spreads) == {200, 300}
    assert np.mean(np.array(spreads) == 200) > 0.6


def test_planted_signals_are_as_frequent_as_the_documents_say() -> None:
    session = planted_session()
    counts = [len(signals_of(session, market)) for market in range(64)]
    assert 16 < np.mean(counts) < 22
    rows = session.rows["exch_ns"][session.rows["kind"] == Kind.DELTA]
    owner = session.rows["market"][session.rows["kind"] == Kind.DELTA]
    shares = []
    for market in range(64):
        times, _, signal = session.truth_of(market)
        distinct = np.unique(rows[owner == market])
        shares.append((signal[np.searchsorted(times, distinct, side="right") - 1] != 0).mean())
    assert np.mean(shares) > 0.05


def test_planted_maker_uninformed_orders_leave_p_and_quotes_as_they_were() -> None:
    session = generated(SynthSettings(regime="planted-maker", markets=12, waves=1, uninformed=0.6, hours=0.3, seed=6))
    unmoved = []
    for market in range(12):
        times, _, _ = session.truth_of(market)
        before = None
        for moment in moments(session.of(market)):
            if before and any(kind == Kind.TRADE for kind, *_ in moment.rows):
                moved = moment.exch_ns in times
                unmoved.append(not moved)
                if not moved:
                    assert (moment.bid, moment.ask) == (before.bid, before.ask)
            before = moment
    assert np.mean(unmoved) == pytest.approx(0.6, abs=3 * 0.49 / np.sqrt(len(unmoved)))


@pytest.mark.parametrize("regime", ["planted-maker", "calibrated"])
def test_takers_lose_about_a_ninetieth_of_their_stake(regime: str) -> None:
    made = SynthSettings(regime=regime, markets=900, hours=1.0, waves=1, seed=7)  # type: ignore[arg-type]
    assert 0.2 < uninformed_share(made) < 0.8
    state = start(made)
    for _ in run(state):
        pass
    s = state.stream[0]
    assert s["paid"] / s["stake"] == pytest.approx(0.011, abs=0.002)
