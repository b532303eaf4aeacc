"""What may be sent: one function that plans an order, used for the mask and for the command alike.

The mask is the whole truth (market-rules.md section 4): what it allows passes here, what this refuses it masks.
A plan is a number: a `Refusal` above zero, or what to do at or below it.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.actions import Intent, Pricing
from kalshi_ray.core.book import shown
from kalshi_ray.core.fees import worst_fee
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.orders import CommandKind, OrderState, Refusal, TimeInForce
from kalshi_ray.core.trader import is_decidable
from kalshi_ray.core.units import DOLLAR, SECOND, Side

BID, ASK = int(Side.BID), int(Side.ASK)
HOLD, BUY_YES, SELL_YES, BUY_NO, SELL_NO = (int(intent) for intent in Intent)
TAKE, INSIDE, JOIN, IMPROVE = int(Pricing.TAKE), int(Pricing.INSIDE), int(Pricing.JOIN), int(Pricing.IMPROVE)
FREE, WORKING = int(OrderState.FREE), int(OrderState.WORKING)
SENT, AMENDING, CANCELLING = int(OrderState.SENT), int(OrderState.AMENDING), int(OrderState.CANCELLING)
CREATE, AMEND, CANCEL = int(CommandKind.CREATE), int(CommandKind.AMEND), int(CommandKind.CANCEL)
IOC, GTC = int(TimeInForce.IOC), int(TimeInForce.GTC)

SIDE_MISSING = int(Refusal.SIDE_MISSING)
NO_ROOM_IN_SPREAD = int(Refusal.NO_ROOM_IN_SPREAD)
SIDE_BUSY = int(Refusal.SIDE_BUSY)
NOTHING_HELD = int(Refusal.NOTHING_HELD)
OTHER_SIDE_HELD = int(Refusal.OTHER_SIDE_HELD)
SAME_AS_SMALLER = int(Refusal.SAME_AS_SMALLER)
POSITION_LIMIT = int(Refusal.POSITION_LIMIT)
CASH = int(Refusal.CASH)
BUDGET = int(Refusal.BUDGET)

# Plans that are not refusals.
PLACE = 0
CHANGE = -1  # amend the resting order of that side
KEEP = -2  # the wanted order works already
CANCEL_OWN = -3  # cancel the resting order of that side first; place at a later decision
CANCEL_OTHER = -4  # cancel the other side's first: together they would cross, or cost more than there is


@kernel
def side_of(intent):
    """Side of the book on which an intent trades: buying YES and selling NO are bids."""
    return BID if intent in (BUY_YES, SELL_NO) else ASK


@kernel
def is_reducing(intent):
    """Whether an intent may only reduce the position."""
    return intent in (SELL_YES, SELL_NO)


@kernel
def left_of(order):
    """Lots of an order that can still fill, as far as the trader knows; an amendment counts at its larger size."""
    if order.state == FREE:
        return 0
    size = max(order.size, order.amended_size) if order.state == AMENDING else order.size
    return max(0, size - order.filled)


@kernel
def cash_need(trader, rules, side, price, size, rate_ppm):
    """Micros an order can cost at worst: collateral of what it opens and the fee, less what it closes brings."""
    position = trader.account.position
    closing = min(size, max(0, -position if side == BID else position))
    paid = price if side == BID else DOLLAR - price
    need = (size - closing) * paid + worst_fee(size, price, rate_ppm, rules.fee_precision)
    return max(0, need - closing * (DOLLAR - paid))


@kernel
def reserved(trader, rules, side):
    """Micros held back for the orders of one side, resting and immediate."""
    total = 0
    for slot in (side, 2 + side):
        order = trader.orders[slot]
        left = left_of(order)
        if left > 0:
            price = order.price
            if order.state == AMENDING:
                dearer = max(price, order.amended_price) if side == BID else min(price, order.amended_price)
                price = dearer
            rate = max(trader.taker_ppm, trader.maker_ppm)
            total += cash_need(trader, rules, side, price, left, rate)
    return total


@kernel
def budget_left(trader, rules, now):
    """Commands that may go now."""
    backlog = max(0, trader.budget_ns - now)
    return (rules.budget_burst * rules.budget_interval_ns - backlog) // rules.budget_interval_ns


@kernel
def order_tick(trader, side, pricing):
    """Tick of an order by its pricing, or minus a `Refusal`."""
    book = trader.book
    own, far = book.best[side], book.best[1 - side]
    has_own = own >= 0 if side == BID else own < book.levels
    has_far = far < book.levels if side == BID else far >= 0
    better = 1 if side == BID else -1
    if pricing in (TAKE, INSIDE):
        if not has_far:
            return -SIDE_MISSING
        if pricing == TAKE:
            return far if book.valid[far] else -SIDE_MISSING
        tick = far - better
        while 0 <= tick < book.levels and not book.valid[tick]:
            tick -= better
        if not 0 <= tick < book.levels or (has_own and (tick - own) * better <= 0):
            return -NO_ROOM_IN_SPREAD
        return tick
    if not has_own:
        return -SIDE_MISSING
    if pricing == JOIN:
        return own if book.valid[own] else -SIDE_MISSING
    tick = own + better
    while 0 <= tick < book.levels and not book.valid[tick]:
        tick += better
    if not 0 <= tick < book.levels or (has_far and (far - tick) * better <= 0):
        return -NO_ROOM_IN_SPREAD
    return tick


@kernel
def sellable(trader, side):
    """Lots held that a reducing order on `side` may still sell: less what an immediate order is selling already."""
    held = -trader.account.position if side == BID else trader.account.position
    return max(0, held - left_of(trader.orders[2 + side]))


@kernel
def plan_order(trader, rules, now, side, tick, price, size, immediate):
    """What sending this order would take: a plan (<= 0) or a `Refusal`. Changes nothing."""
    resting, other = trader.orders[side], trader.orders[1 - side]
    if trader.orders[2 + side].state != FREE:
        return SIDE_BUSY
    if resting.state != FREE and resting.state != WORKING:
        return SIDE_BUSY
    same = resting.state == WORKING and not immediate and resting.tick == tick
    if same and resting.size - resting.filled == size:
        return KEEP
    if budget_left(trader, rules, now) < 1:
        return BUDGET
    if resting.state == WORKING and immediate:
        return CANCEL_OWN
    # An order that is being moved may stand at either price.
    moving = other.state == AMENDING
    if side == BID:
        nearest = min(other.tick, other.amended_tick) if moving else other.tick
    else:
        nearest = max(other.tick, other.amended_tick) if moving else other.tick
    if other.state != FREE and (nearest - tick if side == BID else tick - nearest) <= 0:
        return CANCEL_OTHER if other.state == WORKING else SIDE_BUSY
    position = trader.account.position if side == BID else -trader.account.position
    if position + size > rules.position_limit:
        return POSITION_LIMIT
    rate = trader.taker_ppm if immediate else max(trader.taker_ppm, trader.maker_ppm)
    if resting.state == WORKING:
        # Until the amendment stands the order may still fill as it is.
        price = max(price, resting.price) if side == BID else min(price, resting.price)
        size = max(size, left_of(resting))
    need = cash_need(trader, rules, side, price, size, rate)
    if need > trader.account.cash - reserved(trader, rules, 1 - side):
        if need <= trader.account.cash and other.state == WORKING and trader.orders[3 - side].state == FREE:
            return CANCEL_OTHER
        return CASH
    return CHANGE if resting.state == WORKING else PLACE


@kernel
def plan_action(trader, rules, action, smaller):
    """(plan, tick, lots) of one ACTION record; `smaller` is the next smaller size of its group, 0 for the smallest."""
    side = side_of(action.intent)
    position = trader.account.position if side == BID else -trader.account.position
    size = action.size
    if is_reducing(action.intent):
        available = sellable(trader, side)
        if available <= 0:
            return NOTHING_HELD, 0, 0
        if smaller >= available:
            return SAME_AS_SMALLER, 0, 0
        size = min(size, available)
    elif position < 0 and rules.mask_opposite_buy:
        return OTHER_SIDE_HELD, 0, 0
    tick = order_tick(trader, side, action.pricing)
    if tick < 0:
        return -tick, 0, 0
    price = trader.book.prices[tick]
    return plan_order(trader, rules, trader.now_ns, side, tick, price, size, action.pricing == TAKE), tick, size


@kernel
def write_mask(trader, rules, actions, row, mask):
    """Write which actions are legal now into `mask[row]`, [A]. HOLD is, unless repeated too often by option.

    Within a group sizes ascend and a larger order is never legal where a smaller one is not, so that the largest is
    asked first.
    """
    count = actions.shape[0]
    if not is_decidable(trader):
        for at in range(1, count):
            mask[row, at] = False
        mask[row, 0] = True
        return
    legal = 0
    start = 1
    while start < count:
        stop = start + 1
        while stop < count and actions[stop].group == actions[start].group:
            stop += 1
        if is_reducing(actions[start].intent):
            legal += _mask_sells(trader, rules, actions, row, start, stop, mask)
        else:
            legal += _mask_buys(trader, rules, actions, row, start, stop, mask)
        start = stop
    repeated = rules.mask_repeated_hold > 0 and trader.holds_in_row >= rules.mask_repeated_hold
    mask[row, 0] = not (repeated and legal > 0)


@kernel
def _mask_buys(trader, rules, actions, row, start, stop, mask):
    legal = 0
    smaller_are_legal = False
    for at in range(stop - 1, start - 1, -1):
        if not smaller_are_legal:
            plan = plan_action(trader, rules, actions[at], 0)[0]
            if plan > 0 and plan != POSITION_LIMIT and plan != CASH and plan != BUDGET:
                for rest in range(start, at + 1):
                    mask[row, rest] = False
                return legal
            # An order that works already may stand where no other may be sent.
            smaller_are_legal = plan <= 0 and plan != KEEP
            mask[row, at] = plan <= 0
        else:
            mask[row, at] = True
        legal += mask[row, at]
    return legal


@kernel
def _mask_sells(trader, rules, actions, row, start, stop, mask):
    legal = 0
    smaller = 0
    for at in range(start, stop):
        plan = plan_action(trader, rules, actions[at], smaller)[0]
        mask[row, at] = plan <= 0
        legal += plan <= 0
        smaller = actions[at].size
        if plan == NOTHING_HELD:
            for rest in range(at + 1, stop):
                mask[row, rest] = False
            return legal
    return legal


@kernel
def send_order(trader, rules, plan, side, tick, price, size, immediate, reduce_only):
    """Turn a plan into a command in `trader.commands` and the state of its order. KEEP sends nothing."""
    if plan == KEEP:
        return
    now = trader.now_ns
    slot = side
    if plan == PLACE and immediate:
        slot = 2 + side
    elif plan == CANCEL_OTHER:
        slot = 1 - side
    order = trader.orders[slot]
    command = trader.commands[trader.command_count]
    trader.command_count += 1
    command.slot = slot
    command.side = order.side
    command.id = order.id
    trader.budget_ns = max(trader.budget_ns, now) + rules.budget_interval_ns
    trader.commanded_ns = now
    if plan in (CANCEL_OWN, CANCEL_OTHER):
        command.kind = CANCEL
        order.state = CANCELLING
        return
    # The exchange takes expirations in whole seconds.
    expires = 0 if immediate else (now + rules.lifetime_ns) // SECOND * SECOND
    command.tick = tick
    command.price = price
    command.expires_ns = expires
    if plan == CHANGE:
        command.kind = AMEND
        command.size = order.filled + size
        order.state = AMENDING
        order.amended_tick = tick
        order.amended_price = price
        order.amended_size = command.size
        order.amended_expires_ns = expires
        order.amended_ns = now
        order.amended_bid = trader.mark_bid
        order.amended_ask = trader.mark_ask
        return
    command.kind = CREATE
    command.size = size
    command.time_in_force = IOC if immediate else GTC
    command.post_only = 0 if immediate else 1
    command.reduce_only = 1 if reduce_only and immediate else 0
    command.side = side
    command.id = trader.next_id
    order.id = trader.next_id
    order.state = SENT
    order.side = side
    order.reduce_only = command.reduce_only
    order.tick = tick
    order.price = price
    order.size = size
    order.filled = 0
    order.sent_ns = now
    order.expires_ns = expires
    order.queue = shown(trader.book, side, tick)
    order.bid_at_send = trader.mark_bid
    order.ask_at_send = trader.mark_ask
    trader.next_id += 1
    trader.sent += 1


@kernel
def decide_action(trader, rules, actions, action):
    """Turn an action id into commands; a masked one sends nothing and is counted. Return whether it was HOLD."""
    trader.command_count = 0
    if action == 0:
        repeated = rules.mask_repeated_hold > 0 and trader.holds_in_row >= rules.mask_repeated_hold
        if repeated and is_decidable(trader) and _anything_legal(trader, rules, actions):
            trader.refused += 1
            return False
        return True
    if not is_decidable(trader):
        trader.refused += 1
        return False
    smaller = 0
    if actions[action - 1].group == actions[action].group:
        smaller = actions[action - 1].size
    plan, tick, size = plan_action(trader, rules, actions[action], smaller)
    if plan > 0:
        trader.refused += 1
        return False
    intent = actions[action].intent
    side = side_of(intent)
    immediate = actions[action].pricing == TAKE
    send_order(trader, rules, plan, side, tick, trader.book.prices[tick], size, immediate, is_reducing(intent))
    note_exposure(trader, rules)
    return False


@kernel
def _anything_legal(trader, rules, actions):
    smaller = 0
    for at in range(1, actions.shape[0]):
        if at == 1 or actions[at].group != actions[at - 1].group:
            smaller = 0
        plan = plan_action(trader, rules, actions[at], smaller)[0]
        if plan <= 0:
            return True
        smaller = actions[at].size
    return False


@kernel
def note_exposure(trader, rules):
    """Keep the most capital ever in use: cost of the position and collateral of working orders."""
    used = trader.account.cost + reserved(trader, rules, BID) + reserved(trader, rules, ASK)
    trader.peak_exposure = max(trader.peak_exposure, used)
