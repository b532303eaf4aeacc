"""What the exchange charges per fill, to the micro (protocol.md section 7).

    fee    = rate x contracts x P x (1 - P), rounded up to the micro
    change = revenue - fee, rounded down to the member's precision; the difference goes to an accumulator of the
             order, which pays whole units of the precision back as soon as it holds them

A direct member's precision is $0.0001; an account cleared by another firm has $0.01.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.units import CONTRACT, DOLLAR

TAKER_PPM = 70_000  # 0.07
MAKER_PPM = 17_500  # 0.0175, a quarter of it
COMBO_MAKER_PPM = 35_000
DIRECT_PRECISION = 100  # micros
CLEARED_PRECISION = 10_000

_SCALE = 10_000_000_000  # lots x pips x pips x parts per million, in micros: 1e4 x 1e6


@kernel
def model_fee(size, price, rate_ppm):
    """Fee in micros of `size` lots at `price` pips before the member's rounding, rounded up; exact in 64 bits."""
    size, price, rate = int(size), int(price), int(rate_ppm)
    product = size * price * (DOLLAR - price)
    whole = product // _SCALE
    rest = product - whole * _SCALE
    return whole * rate + (rest * rate + _SCALE - 1) // _SCALE


@kernel
def charge_fee(order, size, price, revenue, rate_ppm, precision):
    """Net fee in micros of one fill; `order.fee_held` accumulates roundings over the fills of the order.

    `revenue` is the cash the fill moves before fees: negative for a purchase.
    """
    fee = model_fee(size, price, rate_ppm)
    exact = revenue - fee
    change = (exact // precision) * precision
    rounding = exact - change
    order.fee_held += rounding
    rebate = min((order.fee_held // precision) * precision, ((fee + rounding) // precision) * precision)
    order.fee_held -= rebate
    return fee + rounding - rebate


@kernel
def worst_fee(size, price, rate_ppm, precision):
    """Upper bound in micros on the net fees of an order with limit `price`, however many fills it takes.

    Price plus fee grows with the price, so fills below the limit cost less in all. Every lot can be a fill of its own,
    which rounds up by a micro, and the accumulator keeps less than one unit of the precision. Only fills whose value
    falls between two units can leave more than that in it: contracts at a part of a cent where the precision is a cent.
    (Parts of a contract at a part of a cent could as well, by less than a cent a contract: no bound is kept for them.)
    """
    between = (size + CONTRACT - 1) // CONTRACT * precision if price * CONTRACT % precision else 0
    return model_fee(size, price, rate_ppm) + size + precision + between
