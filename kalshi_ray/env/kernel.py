"""The step of one row as a list of verbs, and the loop over rows.

    decide -> send -> advance to the next decision -> reward -> observe
    or, at the end of the tape: close the books, record the episode, start the next one

`Tape`, `Rows` and `Layout` in `market_env` say what the arguments are; shapes: B rows, L ticks, A actions, F features.
"""

from __future__ import annotations

import numpy as np

from kalshi_ray.core.book import consume, load_book, next_level, shown
from kalshi_ray.core.fees import model_fee
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.matching import MAX_TAKEN, accept_command, advance_venue, start_venue
from kalshi_ray.core.observe import arrange, measure
from kalshi_ray.core.orders import MAX_MESSAGES, OrderEvent
from kalshi_ray.core.portfolio import settle
from kalshi_ray.core.quotes import decide_quote
from kalshi_ray.core.risk import decide_action, write_mask
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.trader import NEVER, decided, due_time, hear, is_decidable, mark, see_update, start_trader, wake
from kalshi_ray.core.units import DOLLAR, SECOND, Side

BID, ASK = int(Side.BID), int(Side.ASK)
FILL_EVENT = int(OrderEvent.FILL)
SETTLEMENT = int(Kind.SETTLEMENT)

DECISION, TAPE_END, SETTLED = 0, 1, 2


@kernel
def _deliver(row, trader, venue, progress, rules, recorded, consumed, fills, fill_count, everything):  # type: ignore[no-untyped-def]
    """Hear the answers that are visible now, in order; all of them at the end of an episode."""
    while venue.message_count > 0:
        message = venue.messages[venue.message_start]
        if not everything and (message.visible_ns > trader.now_ns or message.after_row > progress.cursor):
            return
        hear(trader, rules, recorded, consumed, row, message)
        if message.event == FILL_EVENT and fill_count[0] < fills.shape[0]:
            _log_fill(row, trader, progress, message, fills[fill_count[0]])
            fill_count[0] += 1
        venue.message_start = (venue.message_start + 1) % MAX_MESSAGES
        venue.message_count -= 1


@kernel
def _log_fill(row, trader, progress, message, fill):  # type: ignore[no-untyped-def]
    order = trader.orders[message.slot]
    fill.row = row
    fill.view = progress.view
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
def _show_taken(row, trader, venue, recorded, consumed, before_row, now):  # type: ignore[no-untyped-def]
    """Take out of the seen book what we took on the exchange, at the same place of the tape."""
    while venue.taken_count > 0:
        taken = venue.taken[venue.taken_start]
        if taken.before_row > before_row or (taken.before_row == before_row and taken.visible_ns > now):
            return
        consume(trader.book, recorded, consumed, row, taken.side, taken.tick, taken.lots)
        venue.taken_start = (venue.taken_start + 1) % MAX_TAKEN
        venue.taken_count -= 1


@kernel
def _see_siblings(trader, view, siblings, sibling_start, market_row, until):  # type: ignore[no-untyped-def]
    """Follow the best prices of the event's other markets up to `until`."""
    stop = sibling_start[view.event + 1]
    while trader.sibling_cursor < stop and siblings[trader.sibling_cursor].recv_ns <= until:
        change = siblings[trader.sibling_cursor]
        if change.market != market_row:
            trader.sibling_bid_sum += change.bid_change
            trader.sibling_ask_sum += change.ask_change
            if change.bid_change != 0:
                trader.sibling_bid_move = change.bid_change
            if change.ask_change != 0:
                trader.sibling_ask_move = change.ask_change
        trader.sibling_cursor += 1


@kernel
def _advance(row, trader, venue, progress, rules, tape, seen, market, fills, fill_count):  # type: ignore[no-untyped-def]
    """Run the row to its next decision, its settlement or the end of its tape."""
    updates, values, axes, views, siblings, sibling_start = tape
    recorded, consumed = seen
    venue_recorded, venue_consumed = market
    due = due_time(trader, rules)
    last = updates[progress.stop - 1].recv_ns
    while True:
        while progress.cursor < progress.stop:
            update = updates[progress.cursor]
            now = update.recv_ns
            if now > due:
                break
            if venue.live > 0 or venue.next_own_ns <= now or venue.taken_count > 0:
                advance_venue(
                    venue, venue_recorded, venue_consumed, rules, updates, values, axes, trader.axis, row, now
                )
                if venue.taken_count > 0:
                    _show_taken(row, trader, venue, recorded, consumed, progress.cursor, NEVER)
            see_update(trader, recorded, consumed, row, update, values)
            progress.cursor += 1
            if due == NEVER and trader.changed_ns != NEVER:
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
    advance_venue(venue, venue_recorded, venue_consumed, rules, updates, values, axes, trader.axis, row, due)
    _show_taken(row, trader, venue, recorded, consumed, progress.cursor, due)
    trader.now_ns = due
    _deliver(row, trader, venue, progress, rules, recorded, consumed, fills, fill_count, False)
    if siblings.shape[0] > 0:
        view = views[progress.view]
        _see_siblings(trader, view, siblings, sibling_start, view.market, due)
    wake(trader, recorded, consumed, row, axes, due)
    return DECISION


@kernel
def _close_books(row, trader, venue, progress, rules, tape, seen, market, fills, fill_count, settled):  # type: ignore[no-untyped-def]
    """The end of an episode: what reached the exchange is heard, the rest is dropped; settle or mark."""
    updates, values, axes, views, siblings, sibling_start = tape
    recorded, consumed = seen
    venue_recorded, venue_consumed = market
    until = trader.now_ns
    advance_venue(venue, venue_recorded, venue_consumed, rules, updates, values, axes, trader.axis, row, until)
    _show_taken(row, trader, venue, recorded, consumed, progress.stop, NEVER)
    _deliver(row, trader, venue, progress, rules, recorded, consumed, fills, fill_count, True)
    mark(trader, axes)


@kernel
def _ladder_value(row, trader, recorded, consumed, axes):  # type: ignore[no-untyped-def]
    """Micros that walking the shown depth would bring for the whole position, taker fees paid; 0 at an unknown book."""
    book = trader.book
    left = abs(trader.account.position)
    if not book.known or left == 0:
        return 0
    side = BID if trader.account.position > 0 else ASK
    total = 0
    tick = book.best[side]
    while left > 0 and 0 <= tick < book.levels:
        lots = min(left, shown(recorded, consumed, row, side, tick))
        price = axes[trader.axis, tick]
        total += lots * (price if side == BID else DOLLAR - price) - model_fee(lots, price, trader.taker_ppm)
        left -= lots
        tick = next_level(book, recorded, consumed, row, side, tick)
    return total


@kernel
def _record_episode(row, trader, progress, rules, position, ladder, settled, episode):  # type: ignore[no-untyped-def]
    episode.row = row
    episode.view = progress.view
    episode.steps = trader.decisions
    episode.started_ns = trader.started_ns
    episode.ended_ns = trader.now_ns
    episode.terminated = settled
    episode.book_known = trader.book.known
    episode.equity_start = rules.bankroll
    episode.equity_end = trader.equity
    episode.cash_end = trader.account.cash
    episode.position_end = position
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
    episode.ladder_value = ladder
    episode.mark_bid = trader.mark_bid
    episode.mark_ask = trader.mark_ask


@kernel
def _find_keyframe(view, keyframes, start):  # type: ignore[no-untyped-def]
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
def _start_row(row, trader, venue, progress, rules, tape, keys, seen, market, view_index, start, fills, fill_count):  # type: ignore[no-untyped-def]
    """Begin an episode at row `start` of a view (-1: its first) and run to the first decision; False if there is none."""
    updates, values, axes, views, siblings, sibling_start = tape
    keyframes, stored = keys
    recorded, consumed = seen
    venue_recorded, venue_consumed = market
    view = views[view_index]
    start = view.start if start < view.start else start
    key = keyframes[_find_keyframe(view, keyframes, start)]
    progress.view = view_index
    progress.cursor = key.at
    progress.stop = view.stop
    progress.reward_sum = 0.0
    progress.spread_cost = 0
    progress.episodes += 1
    trader.view = view_index
    start_trader(trader, view, rules.bankroll, updates[start].recv_ns)
    trader.grid = key.grid
    trader.status = key.status
    trader.close_ns = key.close_ns
    trader.taker_ppm = key.taker_ppm
    trader.maker_ppm = key.maker_ppm
    first, last = key.level_start, key.level_stop
    load_book(trader.book, recorded, consumed, row, view.levels, stored, first, last, key.known, key.in_snapshot)
    while progress.cursor < start:
        see_update(trader, recorded, consumed, row, updates[progress.cursor], values)
        progress.cursor += 1
    trader.changed_ns = trader.now_ns if trader.book.known else NEVER
    trader.updates_since = 0
    trader.history_count = 0
    start_venue(venue, view, start, view.stop)
    venue.status = trader.status
    venue.taker_ppm = trader.taker_ppm
    venue.maker_ppm = trader.maker_ppm
    venue.chance = progress.seed + np.uint64(progress.episodes)
    _copy_book(trader, venue, recorded, venue_recorded, venue_consumed, row)
    if siblings.shape[0] > 0:
        _start_siblings(trader, view, updates[start].recv_ns, siblings, sibling_start)
    found = _advance(row, trader, venue, progress, rules, tape, seen, market, fills, fill_count) == DECISION
    progress.equity = trader.equity
    return found


@kernel
def _copy_book(trader, venue, recorded, venue_recorded, venue_consumed, row):  # type: ignore[no-untyped-def]
    source, target = trader.book, venue.book
    for side in range(2):
        for tick in range(source.levels):
            venue_recorded[row, side, tick] = recorded[row, side, tick]
            venue_consumed[row, side, tick] = 0
        target.best[side] = source.best[side]
        target.count[side] = source.count[side]
        target.total[side] = source.total[side]
    target.levels = source.levels
    target.known = source.known
    target.in_snapshot = source.in_snapshot
    target.damaged = 0


@kernel
def _start_siblings(trader, view, now, siblings, sibling_start):  # type: ignore[no-untyped-def]
    """Sums over the other markets as they stood at `now`: all of the event less our own best prices."""
    trader.sibling_bid_sum = 0
    trader.sibling_ask_sum = 0
    trader.sibling_bid_move = 0
    trader.sibling_ask_move = 0
    trader.sibling_cursor = sibling_start[view.event]
    _see_siblings(trader, view, siblings, sibling_start, view.market, now)


@kernel
def start_next(row, rows, tape, keys, seen, market, rules, fills, fill_count):  # type: ignore[no-untyped-def]
    """Start the episode that the sampler chose; a start without a decision left falls back to the view's own start."""
    traders, venues, progresses = rows
    progress = progresses[row]
    view, start = progress.next_view, progress.next_start
    progress.needs_next = 1
    trader, venue = traders[row], venues[row]
    found = _start_row(row, trader, venue, progress, rules, tape, keys, seen, market, view, start, fills, fill_count)
    if not found and start >= 0:
        found = _start_row(row, trader, venue, progress, rules, tape, keys, seen, market, view, -1, fills, fill_count)
    progress.idle = not found


@kernel
def _observe_row(row, trader, rules, seen, tape, layout, facts, flat, observation, mask):  # type: ignore[no-untyped-def]
    updates, values, axes, views, siblings, sibling_start = tape
    recorded, consumed = seen
    index, low, high, grids, actions = layout
    measure(trader, rules, recorded, consumed, row, axes, facts[0])
    trader.clipped += arrange(flat, index, low, high, row, observation)
    write_mask(trader, rules, recorded, consumed, grids, axes, actions, row, mask)


@kernel
def reset_rows(rows, tape, keys, seen, market, rules, layout, facts, flat, fills, fill_count, observation, mask):  # type: ignore[no-untyped-def]
    """Start every row and write its first observation and mask."""
    traders, venues, progresses = rows
    for row in range(traders.shape[0]):
        start_next(row, rows, tape, keys, seen, market, rules[0], fills, fill_count)
        _observe_row(row, traders[row], rules[0], seen, tape, layout, facts, flat, observation, mask)


@kernel
def step_rows(rows, tape, keys, seen, market, rules, reward_rules, layout, facts, flat, log, decision, out):  # type: ignore[no-untyped-def]
    """Step every row that is not skipped: its action or quote, the run to its next decision, its reward.

    Ended rows write their last observation and start their next episode in the same step.
    """
    traders, venues, progresses = rows
    fills, fill_count, episodes, episode_count = log
    actions, quotes, quoting, skip = decision
    observation, mask, reward, terminated, truncated, final_observation, final_mask, elapsed = out
    rule = rules[0]
    for row in range(traders.shape[0]):
        if skip[row]:
            continue
        trader, venue, progress = traders[row], venues[row], progresses[row]
        reward[row] = 0.0
        terminated[row] = False
        truncated[row] = False
        elapsed[row] = 0.0
        if progress.idle:
            truncated[row] = True
            continue
        began = trader.now_ns
        if quoting:
            hold = _send_quote(trader, venue, rule, seen, tape, layout, quotes[row])
        else:
            hold = _send_action(row, trader, venue, rule, seen, tape, layout, actions[row])
        decided(trader, hold)
        outcome = _advance(row, trader, venue, progress, rule, tape, seen, market, fills, fill_count)
        ended = outcome != DECISION or (rule.max_decisions > 0 and trader.decisions >= rule.max_decisions)
        position, ladder = np.int64(0), np.int64(0)
        if ended:
            settled = outcome == SETTLED
            _close_books(row, trader, venue, progress, rule, tape, seen, market, fills, fill_count, settled)
            position = trader.account.position
            ladder = _ladder_value(row, trader, seen[0], seen[1], tape[2])
            if settled:
                settle(trader.account, trader.settlement)
                trader.equity = trader.account.cash
                trader.peak_equity = max(trader.peak_equity, trader.equity)
                trader.drawdown = max(trader.drawdown, trader.peak_equity - trader.equity)
        reward[row] = _reward(trader, progress, reward_rules[0], hold)
        elapsed[row] = (trader.now_ns - began) / SECOND
        if not ended:
            _observe_row(row, trader, rule, seen, tape, layout, facts, flat, observation, mask)
            continue
        terminated[row] = outcome == SETTLED
        truncated[row] = outcome != SETTLED
        _observe_row(row, trader, rule, seen, tape, layout, facts, flat, final_observation, final_mask)
        settled = outcome == SETTLED
        _record_episode(row, trader, progress, rule, position, ladder, settled, episodes[episode_count[0]])
        episode_count[0] += 1
        start_next(row, rows, tape, keys, seen, market, rule, fills, fill_count)
        _observe_row(row, trader, rule, seen, tape, layout, facts, flat, observation, mask)


@kernel
def _send_action(row, trader, venue, rules, seen, tape, layout, action):  # type: ignore[no-untyped-def]
    index, low, high, grids, actions = layout
    hold = decide_action(trader, rules, seen[0], seen[1], grids, tape[2], actions, row, action)
    for at in range(trader.command_count):
        accept_command(venue, rules, trader.commands[at], trader.now_ns)
    return hold


@kernel
def _send_quote(trader, venue, rules, seen, tape, layout, quote):  # type: ignore[no-untyped-def]
    index, low, high, grids, actions = layout
    hold = decide_quote(trader, rules, grids, tape[2], quote)
    for at in range(trader.command_count):
        accept_command(venue, rules, trader.commands[at], trader.now_ns)
    return hold


@kernel
def _reward(trader, progress, rules, hold):  # type: ignore[no-untyped-def]
    """Change of equity since the last decision in the unit of the reward, and the shaping terms."""
    reward = (trader.equity - progress.equity) * rules.per_micro
    reward -= (trader.spread_cost - progress.spread_cost) * rules.per_micro * rules.spread_penalty
    if hold:
        reward += rules.hold_bonus
    progress.equity = trader.equity
    progress.spread_cost = trader.spread_cost
    progress.reward_sum += reward
    return reward
