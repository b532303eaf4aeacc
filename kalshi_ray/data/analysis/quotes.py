"""Kernels over quote paths: what a round trip costs, how far prices go, where prints were marked, sums over strikes.

A path is the rows of one view in `measures.PATH`: each holds until the next, the last one closes the view. Prices in
pips, fees in pips per contract, times in nanoseconds in and seconds out.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.measures import HOUR_NS, HOURS, OPEN
from kalshi_ray.data.replay import BURST_NS

COST_BINS = 16_384  # pips: one dollar of spread and twice the dearest fee
MOVE_BINS = DOLLAR + 1
BURST_S = BURST_NS * 1e-9
BANDS = (5, 20, 40, 60, 80, 95)  # cents: bounds between price bands, by mid

COST = np.dtype([("seconds", np.float64), ("spread", np.float64), ("fee", np.float64)])  # sums of pips x seconds
MOVE = np.dtype([("seen_s", np.float64), ("unseen_s", np.float64), ("over_s", np.float64), ("foresight_s", np.float64)])
MARKOUT = np.dtype(
    [
        ("prints", np.int64),
        ("unseen", np.int64),
        ("lots", np.float64),
        ("value", np.float64),  # pips x lots earned by takers before fees
        ("taker_fee", np.float64),  # pips x lots
        ("maker_fee", np.float64),
    ]
)
ARBITRAGE = np.dtype(
    [
        ("count", np.int64),
        ("seconds", np.float64),
        ("longest_s", np.float64),
        ("best", np.float64),  # pips
        ("run_s", np.float64),  # of the run that goes on
        ("run_best", np.float64),
    ]
)
SUMS = np.dtype([("seconds", np.float64), ("bids", np.float64), ("asks", np.float64)])


@kernel
def fee_of(price, rate_ppm):
    """Fee model in pips per contract, before rounding: rate x P x (1 - P)."""
    return rate_ppm * 1e-10 * price * (DOLLAR - price)


@kernel
def is_two_sided(row):
    """Whether one could both buy and sell."""
    return row.state == OPEN and row.bid > 0 and row.ask < DOLLAR


@kernel
def _band(mid):
    band = 0
    for bound in BANDS:
        band += mid >= bound * 100
    return band


@kernel
def sum_costs(path, first, stop, histogram, bands, hours):
    """Add the time-weighted cost of a round trip to `histogram` [COST_BINS] s, `bands` [7] and `hours` [24] COST."""
    for at in range(first, stop - 1):
        row = path[at]
        if not is_two_sided(row):
            continue
        now, until = row.recv_ns, path[at + 1].recv_ns
        spread = row.ask - row.bid
        fee = fee_of(row.bid, row.taker_ppm) + fee_of(row.ask, row.taker_ppm)
        histogram[min(COST_BINS - 1, int(spread + fee))] += (until - now) * 1e-9
        band = bands[_band(0.5 * (row.bid + row.ask))]
        while now < until:
            piece = min(until, (now // HOUR_NS + 1) * HOUR_NS)
            seconds = (piece - now) * 1e-9
            hour = hours[now // HOUR_NS % HOURS]
            hour.seconds += seconds
            hour.spread += spread * seconds
            hour.fee += fee * seconds
            band.seconds += seconds
            band.spread += spread * seconds
            band.fee += fee * seconds
            now = piece


@kernel
def _foresight(early, late):
    """Whether buying or selling at one quote and going back at another would have earned something after fees."""
    buy = late.bid - early.ask - fee_of(early.ask, early.taker_ppm) - fee_of(late.bid, late.taker_ppm)
    sell = early.bid - late.ask - fee_of(early.bid, early.taker_ppm) - fee_of(late.ask, late.taker_ppm)
    return buy > 0 or sell > 0


@kernel
def compare_moves(path, first, stop, horizon_ns, histogram, found):
    """Add, over all times t of a path, how far the mid is `horizon_ns` later; exact, not sampled.

    `histogram` [MOVE_BINS] receives seconds by pips moved, `found` a MOVE record.
    """
    last = path[stop - 1].recv_ns
    now, early, late = path[first].recv_ns, first, first
    while late + 1 < stop and path[late + 1].recv_ns <= now + horizon_ns:
        late += 1
    while now + horizon_ns < last:
        until = min(path[early + 1].recv_ns, path[late + 1].recv_ns - horizon_ns)
        here, there = path[early], path[late]
        if until > now and is_two_sided(here):
            seconds = (until - now) * 1e-9
            if is_two_sided(there):
                moved = abs(there.bid + there.ask - here.bid - here.ask)  # half pips
                fees = fee_of(here.bid, here.taker_ppm) + fee_of(here.ask, here.taker_ppm)
                histogram[moved // 2] += seconds
                found.seen_s += seconds
                found.over_s += seconds if 0.5 * moved > here.ask - here.bid + fees else 0.0
                found.foresight_s += seconds if _foresight(here, there) else 0.0
            else:
                found.unseen_s += seconds
        now = until
        while path[early + 1].recv_ns <= now:
            early += 1
        while late + 1 < stop and path[late + 1].recv_ns - horizon_ns <= now:
            late += 1


@kernel
def mark_prints(path, first, stop, prints, first_print, stop_print, horizon_ns, found):
    """Add to `found` [2] MARKOUT, by the side the taker traded for, where the mid was `horizon_ns` after each print."""
    early, late = first, first
    last = path[stop - 1].recv_ns
    for at in range(first_print, stop_print):
        fill = prints[at]
        if fill.taker < 0:
            continue
        while early + 1 < stop and path[early + 1].recv_ns <= fill.recv_ns:
            early += 1
        while late + 1 < stop and path[late + 1].recv_ns <= fill.recv_ns + horizon_ns:
            late += 1
        then, sums = path[late], found[fill.taker]
        if fill.recv_ns + horizon_ns > last or not is_two_sided(then):
            sums.unseen += 1
            continue
        sign = 1.0 if fill.taker == 0 else -1.0
        sums.prints += 1
        sums.lots += fill.size
        sums.value += sign * (0.5 * (then.bid + then.ask) - fill.price) * fill.size
        sums.taker_fee += fee_of(fill.price, path[early].taker_ppm) * fill.size
        sums.maker_fee += fee_of(fill.price, path[early].maker_ppm) * fill.size


@kernel
def _note_arbitrage(found, gain, seconds):
    """Count a time in which a set of contracts would have left `gain` pips; runs shorter than a burst do not count."""
    if gain <= 0:
        found.run_s = 0.0
        found.run_best = 0.0
        return
    before = found.run_s
    found.run_s = before + seconds
    found.run_best = max(found.run_best, gain)
    if found.run_s < BURST_S:
        return
    if before < BURST_S:
        found.count += 1
        found.seconds += found.run_s
    else:
        found.seconds += seconds
    found.longest_s = max(found.longest_s, found.run_s)
    found.best = max(found.best, found.run_best)


@kernel
def sum_strikes(path, slot, order, latest, sums, found):
    """Walk the paths of an event's S markets together; return how many rows of `sums` were written.

    `slot` [N] is the market of each path row, `order` [N] their order in time, `latest` [S] room for the last row of
    each (-1 at first), `sums` [N] SUMS receives the times in which all are two-sided; `found` [2] ARBITRAGE: buying
    all, selling all.
    """
    written, two_sided, before = 0, 0, np.int64(0)
    bids, asks, buy_fees, sell_fees = 0, 0, 0.0, 0.0
    for place in range(len(order)):
        at = order[place]
        row = path[at]
        if two_sided == len(latest) and row.recv_ns > before:
            seconds = (row.recv_ns - before) * 1e-9
            stood = sums[written]
            stood.seconds, stood.bids, stood.asks = seconds, bids, asks
            written += 1
            _note_arbitrage(found[0], DOLLAR - asks - buy_fees, seconds)
            _note_arbitrage(found[1], bids - DOLLAR - sell_fees, seconds)
        elif two_sided < len(latest):
            _note_arbitrage(found[0], 0, 0.0)
            _note_arbitrage(found[1], 0, 0.0)
        before = row.recv_ns
        gone = latest[slot[at]]
        if gone >= 0 and is_two_sided(path[gone]):
            left = path[gone]
            two_sided -= 1
            bids -= left.bid
            asks -= left.ask
            buy_fees -= fee_of(left.ask, left.taker_ppm)
            sell_fees -= fee_of(left.bid, left.taker_ppm)
        if is_two_sided(row):
            two_sided += 1
            bids += row.bid
            asks += row.ask
            buy_fees += fee_of(row.ask, row.taker_ppm)
            sell_fees += fee_of(row.bid, row.taker_ppm)
        latest[slot[at]] = at
    return written
