"""One ledger: cash, position, cost, fees and realized P&L, in micros and lots.

A short position is held as NO contracts, fully paid: selling a YES that is not held buys a NO at $1 - price. Buying
YES against a NO held redeems $1 for the pair, and the other way round. At every moment

    cash = start - cost + realized - fees + refund
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.units import DOLLAR, MICROS_PER_CENT, Side

BID = int(Side.BID)

ACCOUNT = np.dtype(
    [
        ("cash", np.int64),
        ("position", np.int64),  # lots, YES positive
        ("cost", np.int64),  # micros paid for the open position, fees apart
        ("realized", np.int64),  # micros booked by closing and settlement, fees apart
        ("fees", np.int64),
        ("refund", np.int64),  # micros given back by the cost ramp of training
    ],
    align=True,
)


@kernel
def closing_part(account, side, size):
    """Lots of a fill of `size` on `side` that reduce the position."""
    held = -account.position if side == BID else account.position
    return min(size, max(0, held))


@kernel
def apply_fill(account, side, price, size, fee):
    """Book a fill: `side` BID bought YES at `price` pips. Partial closes keep the average cost; rounding stays open."""
    closing = closing_part(account, side, size)
    opening = size - closing
    paid = price if side == BID else DOLLAR - price
    if closing > 0:
        held = abs(account.position)
        released = account.cost * closing // held
        proceeds = closing * (DOLLAR - paid)
        account.cost -= released
        account.realized += proceeds - released
        account.cash += proceeds
    account.cash -= opening * paid + fee
    account.cost += opening * paid
    account.fees += fee
    account.position += size if side == BID else -size


@kernel
def apply_refund(account, micros):
    """Give back part of a cost: the ramp of training, its own entry in the ledger."""
    account.cash += micros
    account.refund += micros


@kernel
def position_value(position, bid, ask):
    """Micros that closing would bring: YES sold at `bid`, NO sold at $1 - `ask`; pips."""
    if position >= 0:
        return position * bid
    return -position * (DOLLAR - ask)


@kernel
def equity(account, bid, ask):
    """Cash plus position value at the mark: best bid for a long position, best ask for a short one."""
    return account.cash + position_value(account.position, bid, ask)


@kernel
def settle(account, value):
    """Pay out the position at the venue's result: `value` pips per YES, the rest of a dollar per NO.

    A scalar result can end below a cent: the payout is floored and the remainder is a fee (protocol.md section 8).
    """
    exact = position_value(account.position, value, value)
    payout = exact // MICROS_PER_CENT * MICROS_PER_CENT
    account.realized += exact - account.cost
    account.fees += exact - payout
    account.cash += payout
    account.cost = 0
    account.position = 0
