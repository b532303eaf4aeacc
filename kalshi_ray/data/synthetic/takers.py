"""Taker orders. An informed one moves p beyond its last price, an uninformed one moves nothing."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.units import CONTRACT, DOLLAR
from kalshi_ray.data.synthetic.chance import below, coin, from_table, uniform
from kalshi_ray.data.synthetic.frames import ASK, BID, put_change, put_print
from kalshi_ray.data.synthetic.grid import price_at
from kalshi_ray.data.synthetic.ladder import slot
from kalshi_ray.data.synthetic.layout import PIP, PRINT_SIZES
from kalshi_ray.data.synthetic.moments import NOBODY, move, partner
from kalshi_ray.data.synthetic.quoting import fresh_lots

ONE_LEVEL, TWO_LEVELS = 0.90, 0.98  # odds of sweeping one level, and of at most two


@kernel
def beyond(m, side, level):
    """p in ppm after an informed order whose last price is that of `level` of `side`: half a tick further."""
    tick = m.tick[side, slot(m, side, level)]
    price = price_at(m.grid, tick)
    step = price_at(m.grid, tick + 2 * side - 1) - price
    return price * PIP + step * PIP // 2


@kernel
def _levels_swept(s, m):
    odds = uniform(s)
    wanted = 1 if odds < ONE_LEVEL else (2 if odds < TWO_LEVELS else 3)
    return min(wanted, min(m.count[BID], m.count[ASK]))


@kernel
def trade(out, s, markets, events, i, tables):
    """One taker order; return the partner of an informed one, NOBODY where p stays.

    Size, depth and whether it is informed are drawn before its direction.
    """
    m = markets[i]
    swept = _levels_swept(s, m)
    if swept == 0:
        return NOBODY
    if_bought = beyond(m, ASK, m.count[ASK] - swept)
    if_sold = beyond(m, BID, m.count[BID] - swept)
    lots = max(1, int(from_table(s, tables, PRINT_SIZES))) * CONTRACT
    informed = uniform(s) >= m.uninformed
    other = partner(s, markets, events, i, if_bought - m.p, m.p - if_sold)
    if informed and other == NOBODY:
        return NOBODY
    s.trades += 1
    side = coin(s)
    if informed:
        # The odds that make p a martingale for this number of levels.
        side = ASK if below(s, if_bought - if_sold) < m.p - if_sold else BID
    then = if_bought if side == ASK else if_sold
    _sweep(out, s, m, i, side, swept, lots, then, informed)
    if not informed:
        _refill(out, s, m, i, tables, side, swept)
        return NOBODY
    move(markets, events, i, other, then - m.p)
    return other


@kernel
def _sweep(out, s, m, i, side, swept, lots, then, informed):
    """Take `lots` at each level, or the level; print and decrease in either order.

    What is left of a level is pulled before the next one is taken: the last price stands for the whole order, and a
    level of a million contracts does not make it a print of a million.
    """
    print_first = coin(s)
    for step in range(swept):
        at = slot(m, side, m.count[side] - 1 - step)
        taken = min(lots, m.size[side, at])
        tick = m.tick[side, at]
        if print_first:
            put_print(out, s, m, i, side, tick, taken)
        put_change(out, s, m, i, side, tick, -taken)
        if not print_first:
            put_print(out, s, m, i, side, tick, taken)
        m.size[side, at] -= taken
        if step < swept - 1 and m.size[side, at] > 0:
            put_change(out, s, m, i, side, tick, -m.size[side, at])
            m.size[side, at] = 0
        _account(s, m, side, price_at(m.grid, tick), then, informed)


@kernel
def _account(s, m, side, price, then, informed):
    """Add to what takers stake, and would gain or lose if all were informed or uninformed, per contract of a print.

    Sizes are drawn apart from all else; unweighted, a few huge prints do not drown the mean.
    """
    sign = 1 if side == ASK else -1
    gain = float(sign * (then - price * PIP))
    loss = float(sign * (price * PIP - m.p))
    s.stake += float((price if side == ASK else DOLLAR - price) * PIP)
    s.gain += gain
    s.loss += loss
    s.paid += -gain if informed else loss


@kernel
def _refill(out, s, m, i, tables, side, swept):
    """Levels that an uninformed order emptied are quoted again at once: the quotes stay."""
    for step in range(swept):
        at = slot(m, side, m.count[side] - 1 - step)
        if m.size[side, at] == 0:
            lots = fresh_lots(s, m, tables, side)
            m.size[side, at] = lots
            put_change(out, s, m, i, side, m.tick[side, at], lots)
