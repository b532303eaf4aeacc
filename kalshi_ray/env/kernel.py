"""The step of one row as a list of verbs, and the loop over rows.

    decide -> send -> advance to the next decision -> reward -> observe
    or, at the end of the tape: close the books, record the episode, start the next one

Grouped arguments, as `market_env` builds them; shapes: B rows, L ticks, A actions, F features:

    tape     updates, values, axes, grids, views, keyframes, levels, siblings, sibling_start of a ViewPack
    layout   facts (one FACTS record), the same as a flat array, index, low, high [F], actions (ACTION records [A])
    log      fills, their count [1], episodes, their count [1]
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.book import consume, load_axis, load_book, load_grid, next_level, shown
from kalshi_ray.core.fees import model_fee
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.matching import accept_command, advance_venue
from kalshi_ray.core.observe import arrange, measure
from kalshi_ray.core.orders import MAX_MESSAGES, OrderEvent
from kalshi_ray.core.portfolio import settle
from kalshi_ray.core.quotes import decide_quote
from kalshi_ray.core.risk import decide_action, write_mask
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.trader import (
    NEVER,
    decided,
    due_time,
    hear,
    is_decidable,
    is_notice,
    mark,
    note_equity,
    see_notice,
    see_update,
    start_trader,
    wake,
)
from kalshi_ray.core.units import DOLLAR, SECOND, Side
from kalshi_ray.core.venue import MAX_TAKEN, start_venue

BID, ASK = int(Side.BID), int(Side.ASK)
FILL_EVENT = int(OrderEvent.FILL)
SETTLEMENT = int(Kind.SETTLEMENT)

DECISION, TAPE_END, SETTLED = 0, 1, 2

LEAVE, START, BY_ACTION, BY_QUOTE = 0, 1, 2, 3  # what to do with a row


@kernel
def _deliver(row, trader, venue, progress, rules, fills, fill_count, everything):
    """Hear the answers that are visible now, in order; all of them at the end of an episode."""
    while venue.message_count > 0:
        message = venue.messages[venue.message_start]
        if not everything and (message.visible_ns > trader.now_ns or message.after_row > progress.cursor):
            return
        hear(trader, rules, message)
        if message.event == FILL_EVENT and fill_count[0] < fills.shape[0]:
            _log_fill(row, trader, progress, message, fills[fill_count[0]])
            fill_count[0] += 1
        venue.message_start = (venue.message_start + 1) % MAX_MESSAGES
        venue.message_count -= 1


@kernel
def _log_fill(row, trader, progress, message, fill):
    order = trader.orders[message.slot]
    fill.row = row
    fill.view_index = progress.view_index
    fill.episode = progress.episodes
    fill.venue_ns = message.venue_ns
    fill.decision_ns = order.sent_ns
    fill.order_id = order.id
    fill.side = 1 if order.side == BID else -1
    fill.maker = message.maker
    fill.price = message.price
    fill.size = message.size
    fill.fee = message.fee
    fill.bid = order.bid_at_send
    fill.ask = order.ask_at_send
    fill.position = trader.account.position
    fill.cash = trader.account.cash


@kernel
def _show_taken(trader, venue, before_row, now):
    """Take out of the seen book what we took on the exchange, at the same place of the tape."""
    while venue.taken_count > 0:
        taken = venue.taken[venue.taken_start]
        if taken.before_row > before_row or (taken.before_row == before_row and taken.visible_ns > now):
            return
        consume(trader.book, taken.side, taken.tick, taken.lots)
        venue.taken_start = (venue.taken_start + 1) % MAX_TAKEN
        venue.taken_count -= 1


@kernel
def _see_siblings(trader, view, siblings, sibling_start):
    """Follow the best prices of the event's other markets up to now."""
    stop = sibling_start[view.siblings + 1]
    while trader.sibling_cursor < stop and siblings[trader.sibling_cursor].recv_ns <= trader.now_ns:
        change = siblings[trader.sibling_cursor]
        if change.market != view.market:
            trader.sibling_bid_sum += change.bid_change
            trader.sibling_ask_sum += change.ask_change
            if change.bid_change != 0:
                trader.sibling_bid_move = change.bid_change
            if change.ask_change != 0:
                trader.sibling_ask_move = change.ask_change
        trader.sibling_cursor += 1


@kernel
def _advance(row, trader, venue, progress, rules, updates, values, grids, fills, fill_count):
    """Run the row to its next decision, its settlement or the end of its tape."""
    due = due_time(trader, rules)
    last = updates[progress.stop - 1].recv_ns
    while True:
        while progress.cursor < progress.stop:
            update = updates[progress.cursor]
            now = update.recv_ns
            if now > due:
                break
            if venue.live > 0 or venue.next_own_ns <= now or venue.taken_count > 0:
                advance_venue(venue, rules, updates, values, now)
                _show_taken(trader, venue, progress.cursor, NEVER)
            see_update(trader, update)
            if is_notice(update):
                see_notice(trader, update, values, grids)
            progress.cursor += 1
            if due == NEVER:
                due = due_time(trader, rules)
            if trader.settled:
                trader.now_ns = now
                return SETTLED
        if due > last:
            trader.now_ns = max(trader.now_ns, last)
            return TAPE_END
        if is_decidable(trader):
            break
        # Only a new change can make it decidable.
        trader.changed_ns = NEVER
        due = NEVER
    advance_venue(venue, rules, updates, values, due)
    _show_taken(trader, venue, progress.cursor, due)
    trader.now_ns = due
    _deliver(row, trader, venue, progress, rules, fills, fill_count, False)
    wake(trader, due)
    return DECISION


@kernel
def _ladder_value(trader):
    """Micros that walking the shown depth would bring for the whole position, taker fees paid; 0 at an unknown book."""
    book = trader.book
    left = abs(trader.account.position)
    if not book.known or left == 0:
        return 0
    side = BID if trader.account.position > 0 else ASK
    total = 0
    tick = book.best[side]
    while left > 0 and 0 <= tick < book.levels:
        lots = min(left, shown(book, side, tick))
        price = book.prices[tick]
        total += lots * (price if side == BID else DOLLAR - price) - model_fee(lots, price, trader.taker_ppm)
        left -= lots
        tick = next_level(book, side, tick)
    return total


@kernel
def _close_books(row, trader, venue, progress, rules, updates, values, fills, fill_count, settled, episode):
    """The end of an episode: what reached the exchange is heard, the rest is dropped; mark, and settle if possible."""
    advance_venue(venue, rules, updates, values, trader.now_ns)
    _show_taken(trader, venue, progress.stop, NEVER)
    _deliver(row, trader, venue, progress, rules, fills, fill_count, True)
    mark(trader)
    episode.position_end = trader.account.position
    episode.ladder_value = _ladder_value(trader)
    if settled:
        settle(trader.account, trader.settlement)
        note_equity(trader, trader.account.cash)


@kernel
def _record_episode(row, trader, progress, rules, settled, episode):
    episode.row = row
    episode.view_index = progress.view_index
    episode.steps = trader.decisions
    episode.started_ns = trader.started_ns
    episode.ended_ns = trader.now_ns
    episode.terminated = settled
    episode.book_known = trader.book.known
    episode.equity_start = rules.bankroll
    episode.equity_end = trader.equity
    episode.cash_end = trader.account.cash
    episode.reward_sum = progress.reward_sum
    episode.fees = trader.account.fees
    episode.refund = trader.account.refund
    episode.realized = trader.account.realized
    episode.spread_cost = trader.spread_cost
    episode.stake = trader.stake
    episode.fills = trader.fills
    episode.maker_fills = trader.maker_fills
    episode.traded = trader.traded
    episode.orders_sent = trader.sent
    episode.orders_filled = trader.filled_orders
    episode.holds = trader.holds
    episode.refused = trader.refused
    episode.rejected = trader.rejected
    episode.clipped = trader.clipped
    episode.max_drawdown = trader.drawdown
    episode.peak_exposure = trader.peak_exposure
    episode.mark_bid = trader.mark_bid
    episode.mark_ask = trader.mark_ask
    episode.fault = trader.fault


@kernel
def _find_keyframe(view, keyframes, start):
    """The last keyframe at or before row `start`; a binary search."""
    low, high = view.key_start, view.key_stop
    while high - low > 1:
        middle = (low + high) // 2
        if keyframes[middle].at <= start:
            low = middle
        else:
            high = middle
    return low


@kernel
def _start_row(row, trader, venue, progress, rules, view_index, start, tape, fills, fill_count):
    """Begin an episode at row `start` of a view (-1: its first), run to the first decision; False if there is none."""
    updates, values, axes, grids, views, keyframes, stored, siblings, sibling_start = tape
    view = views[view_index]
    start = view.start if start < view.start else start
    key = keyframes[_find_keyframe(view, keyframes, start)]
    progress.view_index = view_index
    progress.cursor = key.at
    progress.stop = view.stop
    progress.reward_sum = 0.0
    progress.spread_cost = 0
    progress.episodes += 1
    trader.view_index = view_index
    start_trader(trader, view, rules.bankroll, updates[start].recv_ns)
    trader.status = key.status
    trader.close_ns = key.close_ns
    trader.taker_ppm = key.taker_ppm
    trader.maker_ppm = key.maker_ppm
    load_axis(trader.book, axes, view.axis, view.levels)
    load_grid(trader.book, grids, key.grid)
    load_book(trader.book, stored, key.level_start, key.level_stop, key.known, key.in_snapshot)
    while progress.cursor < start:
        see_update(trader, updates[progress.cursor])
        if is_notice(updates[progress.cursor]):
            see_notice(trader, updates[progress.cursor], values, grids)
        progress.cursor += 1
    trader.changed_ns = trader.now_ns if trader.book.known else NEVER
    trader.updates_since = 0
    trader.history_count = 0
    start_venue(venue, trader, start, view.stop)
    venue.chance = progress.seed + np.uint64(progress.episodes)
    if siblings.shape[0] > 0:
        _start_siblings(trader, view, siblings, sibling_start)
    found = _advance(row, trader, venue, progress, rules, updates, values, grids, fills, fill_count) == DECISION
    if siblings.shape[0] > 0:
        _see_siblings(trader, view, siblings, sibling_start)
    progress.equity = trader.equity
    return found


@kernel
def _start_siblings(trader, view, siblings, sibling_start):
    """Sums over the other markets as they stood when the episode began."""
    trader.sibling_bid_sum = 0
    trader.sibling_ask_sum = 0
    trader.sibling_bid_move = 0
    trader.sibling_ask_move = 0
    trader.sibling_cursor = sibling_start[view.siblings]
    _see_siblings(trader, view, siblings, sibling_start)


@kernel
def start_next(row, traders, venues, progresses, rules, tape, fills, fill_count):
    """Start the episode that the sampler chose; a start without a decision left falls back to the view's own start."""
    trader, venue, progress = traders[row], venues[row], progresses[row]
    view, start = progress.next_view, progress.next_start
    progress.needs_next = 1
    if view < 0:
        progress.idle = 1
        return
    found = _start_row(row, trader, venue, progress, rules, view, start, tape, fills, fill_count)
    if not found and start >= 0:
        found = _start_row(row, trader, venue, progress, rules, view, -1, tape, fills, fill_count)
    progress.idle = not found


@kernel
def _observe(row, trader, rules, facts, flat, index, low, high, actions, observation, mask):
    measure(trader, rules, facts[0])
    trader.clipped += arrange(flat, index, low, high, row, observation)
    write_mask(trader, rules, actions, row, mask)


@kernel
def play_rows(traders, venues, progresses, rules, reward_rules, tape, layout, log, wanted, out):
    """Do with every row what its verb says: leave it, start its next episode, or step it by its action or its quote.

    A step runs to the next decision and is rewarded for it. An ended row writes its last observation and starts its
    next episode in the same step.
    """
    updates, values, grids, views, siblings, sibling_start = tape[0], tape[1], tape[3], tape[4], tape[7], tape[8]
    facts, flat, index, low, high, actions = layout
    fills, fill_count, episodes, episode_count = log
    verbs, chosen, quotes = wanted
    observation, mask, reward, terminated, truncated, final_observation, final_mask, elapsed = out
    rule = rules[0]
    for row in range(traders.shape[0]):
        verb = verbs[row]
        if verb == LEAVE:
            continue
        trader, venue, progress = traders[row], venues[row], progresses[row]
        reward[row], elapsed[row], terminated[row], truncated[row] = 0.0, 0.0, False, False
        over = verb == START
        if verb != START and not progress.idle:
            began = trader.now_ns
            if verb == BY_QUOTE:
                hold = decide_quote(trader, rule, quotes[row])
            else:
                hold = decide_action(trader, rule, actions, chosen[row])
            for at in range(trader.command_count):
                accept_command(venue, rule, trader.commands[at], began)
            decided(trader, hold)
            outcome = _advance(row, trader, venue, progress, rule, updates, values, grids, fills, fill_count)
            over = outcome != DECISION or (rule.max_decisions > 0 and trader.decisions >= rule.max_decisions)
            settled = outcome == SETTLED
            episode = episodes[episode_count[0]]
            if over:
                _close_books(row, trader, venue, progress, rule, updates, values, fills, fill_count, settled, episode)
            if siblings.shape[0] > 0:
                _see_siblings(trader, views[trader.view_index], siblings, sibling_start)
            reward[row] = _reward(trader, progress, reward_rules[0], hold)
            elapsed[row] = (trader.now_ns - began) / SECOND
            if over:
                _record_episode(row, trader, progress, rule, settled, episode)
                episode_count[0] += 1
                terminated[row], truncated[row] = settled, not settled
                _observe(row, trader, rule, facts, flat, index, low, high, actions, final_observation, final_mask)
        if over:
            start_next(row, traders, venues, progresses, rule, tape, fills, fill_count)
        _observe(row, trader, rule, facts, flat, index, low, high, actions, observation, mask)


@kernel
def _reward(trader, progress, rules, hold):
    """Change of equity since the last decision in the unit of the reward, and the shaping terms."""
    reward = (trader.equity - progress.equity) * rules.per_micro
    reward -= (trader.spread_cost - progress.spread_cost) * rules.per_micro * rules.spread_penalty
    if hold:
        reward += rules.hold_bonus
    progress.equity = trader.equity
    progress.spread_cost = trader.spread_cost
    progress.reward_sum += reward
    return reward
