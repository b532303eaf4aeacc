"""The kernel behind `core.features`: every feature of one row, and the layout that a policy gets."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import math

from kalshi_ray.core.book import shown
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.risk import budget_left, left_of, reserved
from kalshi_ray.core.units import CONTRACT, DOLLAR, SECOND, Side

BID, ASK = int(Side.BID), int(Side.ASK)
NEAR_LEVELS = 5
DAY = 86_400 * SECOND
MICROS_PER_LOT_DOLLAR = DOLLAR  # a lot that pays one dollar pays this many micros


@kernel
def measure(trader, rules, facts):
    """Fill one FACTS record with the state of a row at its decision. Changes nothing of the row."""
    _measure_prices(trader, facts)
    _measure_depth(trader, facts)
    _measure_time(trader, facts)
    _measure_activity(trader, facts)
    _measure_portfolio(trader, rules, facts)
    _measure_orders(trader, facts)
    _measure_more(trader, facts)


@kernel
def arrange(values, index, low, high, row, out):
    """Copy the chosen `values` into `out[row]`, cut at their bounds; return how many were cut."""
    clipped = 0
    for at in range(index.shape[0]):
        value = values[index[at]]
        if value < low[at]:
            value = low[at]
            clipped += 1
        elif value > high[at]:
            value = high[at]
            clipped += 1
        out[row, at] = value
    return clipped


@kernel
def _measure_prices(trader, facts):
    bid, ask = trader.mark_bid / DOLLAR, trader.mark_ask / DOLLAR
    spread = ask - bid
    mid = (bid + ask) / 2
    facts.yes_bid = bid
    facts.yes_ask = ask
    facts.no_bid = 1 - ask
    facts.no_ask = 1 - bid
    facts.spread = spread
    facts.bid_missing = trader.best_bid < 0
    facts.ask_missing = trader.best_ask < 0
    facts.yes_mid = mid
    facts.no_mid = 1 - mid
    facts.yes_spread_share = spread / mid if mid > 0 else 2.0
    facts.no_spread_share = spread / (1 - mid) if mid < 1 else 2.0
    pips = trader.mark_ask - trader.mark_bid
    facts.spread_regime = 0.25 * (int(pips >= 200) + int(pips >= 500) + int(pips >= 1000) + int(pips >= 2000))
    taker = trader.taker_ppm / 1e6
    facts.taker_fee = taker * mid * (1 - mid) * 50
    facts.break_even = spread + taker * (bid * (1 - bid) + ask * (1 - ask))
    facts.maker_break_even = trader.maker_ppm / 1e6 * (bid * (1 - bid) + ask * (1 - ask)) - spread
    bid_contracts, ask_contracts = trader.bid_size / CONTRACT, trader.ask_size / CONTRACT
    facts.bid_liquidity = math.log10(1 + bid_contracts) / (5 * (1 + 10 * spread))
    facts.ask_liquidity = math.log10(1 + ask_contracts) / (5 * (1 + 10 * spread))
    facts.touch_imbalance = _imbalance(trader.bid_size, trader.ask_size)
    facts.bid_size = math.log10(1 + bid_contracts) / 6
    facts.ask_size = math.log10(1 + ask_contracts) / 6
    both = trader.bid_size + trader.ask_size
    facts.microprice = (bid * trader.ask_size + ask * trader.bid_size) / both - mid if both > 0 else 0.0


@kernel
def _imbalance(bids, asks):
    return (bids - asks) / (bids + asks) if bids + asks > 0 else 0.0


@kernel
def _measure_depth(trader, facts):
    book = trader.book
    facts.total_volume = math.log10(1 + (book.total[0] + book.total[1]) / CONTRACT) / 7
    facts.volume_imbalance = _imbalance(book.total[0], book.total[1])
    facts.bid_depth = book.count[0] / 50
    facts.ask_depth = book.count[1] / 50
    near_bids, bid_top, bid_gap = _scan_side(trader.book, BID)
    near_asks, ask_top, ask_gap = _scan_side(trader.book, ASK)
    facts.near_imbalance = _imbalance(near_bids, near_asks)
    facts.bid_concentration = bid_top / book.total[0] if book.total[0] > 0 else 0.5
    facts.ask_concentration = ask_top / book.total[1] if book.total[1] > 0 else 0.5
    facts.bid_gap = 10 * bid_gap / DOLLAR
    facts.ask_gap = 10 * ask_gap / DOLLAR


@kernel
def _scan_side(book, side):
    """(lots of the five best levels, lots of the three biggest, pips from the best level to the next) of one side."""
    near, first, second, third, gap = 0, 0, 0, 0, 0
    tick = book.best[side]
    step = -1 if side == BID else 1
    best = tick
    left = book.count[side]
    found = 0
    while found < left:
        size = book.recorded[side, tick] - book.consumed[side, tick]
        if size > 0:
            found += 1
            if found <= NEAR_LEVELS:
                near += size
                if found == 2:
                    gap = abs(book.prices[tick] - book.prices[best])
            if size > third:
                if size > first:
                    first, second, third = size, first, second
                elif size > second:
                    second, third = size, second
                else:
                    third = size
        tick += step
    return near, first + second + third, gap


@kernel
def _measure_time(trader, facts):
    now = trader.now_ns
    # The decision before this one, or the start of the episode.
    before = trader.decided_ns if trader.decisions > 0 else trader.started_ns
    facts.gap = min(1.0, (now - before) / (300 * SECOND))
    facts.time_of_day = (now % DAY) / DAY
    facts.weekday = ((now // DAY + 3) % 7) / 6
    facts.since_order = min(1.0, (now - trader.commanded_ns) / (300 * SECOND)) if trader.commanded_ns > 0 else 1.0
    facts.progress = 0.0
    facts.time_to_close = 1.0
    if trader.close_ns > 0:
        facts.time_to_close = math.log10(1 + max(0, trader.close_ns - now) / SECOND) / 7
        if 0 < trader.open_ns < trader.close_ns:
            facts.progress = (now - trader.open_ns) / (trader.close_ns - trader.open_ns)


@kernel
def _measure_activity(trader, facts):
    count = int(trader.history_count)
    if count == 0:
        _measure_no_activity(facts)
        return
    facts.activity = trader.history_activity[0]
    facts.activity_change = trader.history_activity[0] - trader.history_activity[1] if count > 1 else 0.0
    total, squares, spreads = 0.0, 0.0, 0.0
    for at in range(count):
        updates = float(trader.history_updates[at])
        total += updates
        squares += updates * updates
        spreads += trader.history_spread[at]
    mean = total / count
    sigma = math.sqrt(max(0.0, squares / count - mean * mean))
    updates = float(trader.history_updates[0])
    facts.burst = count > 2 and updates > mean + 1.5 * sigma
    facts.quiet = count > 2 and updates < mean - sigma
    facts.spread_trend = (trader.mark_ask - trader.mark_bid - spreads / count) / DOLLAR
    recent = min(count, 5)
    span = trader.now_ns - trader.history_ns[recent - 1]
    facts.update_frequency = (recent - 1) * SECOND / span / 4 if span > 0 else 0.0
    _measure_moves(trader, recent, facts)
    _measure_pace(trader, recent, facts)


@kernel
def _measure_no_activity(facts):
    """The tape ended before a decision, or in a gap: there is nothing to look back on."""
    facts.activity = 0.0
    facts.activity_change = 0.0
    facts.burst = False
    facts.quiet = False
    facts.spread_trend = 0.0
    facts.update_frequency = 0.0
    facts.momentum = 0.0
    facts.volatility = 0.0
    facts.stability = 1.0
    facts.activity_trend = 0.0
    facts.activity_consistency = 1.0
    facts.activity_persistence = 0.0


@kernel
def _measure_moves(trader, recent, facts):
    """Momentum, volatility and stability of the mid; the history holds bid + ask in pips."""
    facts.momentum = math.tanh(20 * (trader.history_mid[0] - trader.history_mid[recent - 1]) / (2 * DOLLAR))
    facts.volatility = 0.0
    facts.stability = 1.0
    moves = recent - 1
    if moves == 0:
        return
    total, squares, near = 0.0, 0.0, 0.0
    for at in range(moves):
        move = abs(trader.history_mid[at] - trader.history_mid[at + 1]) / 2
        total += move
        squares += move * move
        if at < 3:
            near += move
    mean = total / moves
    facts.volatility = math.sqrt(max(0.0, squares / moves - mean * mean)) / 500
    facts.stability = 1 - near / min(moves, 3) / 500


@kernel
def _measure_pace(trader, recent, facts):
    """Trend, consistency and persistence of activity over the last five (ten) decisions."""
    weighted, total, squares = 0.0, 0.0, 0.0
    centre = (recent - 1) / 2
    for at in range(recent):
        level = trader.history_activity[at]
        weighted += level * (centre - at)
        total += level
        squares += level * level
    spread = recent * (recent * recent - 1) / 12
    facts.activity_trend = math.tanh(10 * weighted / spread) if spread > 0 else 0.0
    mean = total / recent
    facts.activity_consistency = 1 - math.sqrt(max(0.0, squares / recent - mean * mean)) / 0.3
    run = 0
    while run + 1 < trader.history_count and _is_steady(trader, run):
        run += 1
    facts.activity_persistence = run / 10


@kernel
def _is_steady(trader, at):
    return abs(trader.history_activity[at] - trader.history_activity[at + 1]) <= 0.1


@kernel
def _measure_portfolio(trader, rules, facts):
    account = trader.account
    bankroll = float(rules.bankroll)
    position = account.position
    value = trader.equity - account.cash
    facts.cash_ratio = account.cash / bankroll
    facts.position_ratio = value / trader.equity if trader.equity > 0 else 0.0
    facts.holding = position != 0
    facts.average_cost = account.cost / (abs(position) * MICROS_PER_LOT_DOLLAR) if position != 0 else 0.0
    facts.long_ratio = max(0, position) / rules.position_limit
    facts.short_ratio = max(0, -position) / rules.position_limit
    facts.holding_time = min(1.0, (trader.now_ns - trader.opened_ns) / (3600 * SECOND)) if position != 0 else 0.0
    working = reserved(trader, rules, BID) + reserved(trader, rules, ASK)
    facts.exposure = (account.cost + working) / bankroll
    facts.drawdown = (trader.peak_equity - trader.equity) / bankroll
    facts.unrealized = (value - account.cost) / bankroll
    facts.realized = (account.realized - account.fees) / bankroll
    facts.budget = budget_left(trader, rules, trader.now_ns) / rules.budget_burst


@kernel
def _measure_orders(trader, facts):
    bid, ask = trader.orders[BID], trader.orders[ASK]
    has_bid, has_ask = left_of(bid) > 0, left_of(ask) > 0
    mid = (trader.mark_bid + trader.mark_ask) / 2
    facts.open_buy = has_bid or left_of(trader.orders[2 + BID]) > 0
    facts.open_sell = has_ask or left_of(trader.orders[2 + ASK]) > 0
    facts.buy_distance = (mid - bid.price) / DOLLAR if has_bid else 0.0
    facts.sell_distance = (ask.price - mid) / DOLLAR if has_ask else 0.0


@kernel
def _queue_share(trader, side):
    order = trader.orders[side]
    if left_of(order) <= 0:
        return 0.0
    size = shown(trader.book, side, order.tick)
    return min(order.queue, size) / size if size > 0 else 0.0


@kernel
def _measure_more(trader, facts):
    facts.bid_queue = _queue_share(trader, BID)
    facts.ask_queue = _queue_share(trader, ASK)
    facts.fill_rate = trader.filled_orders / trader.sent if trader.sent > 0 else 0.0
    facts.sibling_bids = trader.sibling_bid_sum / DOLLAR
    facts.sibling_asks = trader.sibling_ask_sum / DOLLAR
    facts.sibling_bid_move = trader.sibling_bid_move / DOLLAR
    facts.sibling_ask_move = trader.sibling_ask_move / DOLLAR
    facts.signal_0 = trader.signals[0]
    facts.signal_1 = trader.signals[1]
    facts.signal_2 = trader.signals[2]
    facts.signal_3 = trader.signals[3]
