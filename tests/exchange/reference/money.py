"""Fees, positions and orders of the reference exchange: plain integers, everything added up from scratch.

Prices in pips, sizes in lots, money in micros. Side 0 buys YES, side 1 sells it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DOLLAR = 10_000
CENT_MICROS = 10_000


def model_fee(lots: int, price: int, ppm: int) -> int:
    """Rate x contracts x P x (1 - P), rounded up to the micro."""
    return -(-ppm * lots * price * (DOLLAR - price) // 10**10)


def highest_fees(lots: int, price: int, ppm: int, precision: int) -> int:
    """The most that fills of so many lots can be charged: a micro more for every lot, and what the rounding keeps."""
    contracts = -(-lots // 100)
    between = contracts * precision if price * 100 % precision else 0
    return model_fee(lots, price, ppm) + lots + precision + between


@dataclass(eq=False)
class Order:
    """One order. `kept` is what rounding has taken and not paid back."""

    number: int
    owner: int
    ticker: str
    name: str
    side: int
    price: int
    size: int
    self_trade: str
    post_only: bool
    cancel_on_pause: bool
    expires_ns: int
    filled: int = 0
    state: str = "resting"
    kept: int = 0
    fees: int = 0
    maker_fees: int = 0
    taker_cost: int = 0
    maker_cost: int = 0
    fee_bound: int = 0

    @property
    def left(self) -> int:
        """Lots that can still fill."""
        return self.size - self.filled

    @property
    def paid(self) -> int:
        """Pips a lot costs: of the YES when bought, of the NO when sold."""
        return self.price if self.side == 0 else DOLLAR - self.price

    def charge(self, lots: int, price: int, revenue: int, ppm: int, precision: int) -> int:
        """The net fee of one fill: rounded so that cash moves in whole units, and paid back once a unit was kept."""
        fee = model_fee(lots, price, ppm)
        rounding = (revenue - fee) % precision
        self.kept += rounding
        rebate = 0
        while rebate + precision <= min(self.kept, fee + rounding):
            rebate += precision
        self.kept -= rebate
        return fee + rounding - rebate


@dataclass
class Holding:
    """What one account has in one market."""

    position: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    traded: int = 0

    def closes(self, side: int, lots: int) -> int:
        """Lots of a trade that reduce the position."""
        against = -self.position if side == 0 else self.position
        return min(lots, max(0, against))

    def revenue(self, side: int, price: int, lots: int) -> int:
        """Cash that a trade brings before fees: a dollar less the price for what it closes, minus the price else."""
        paid = price if side == 0 else DOLLAR - price
        closing = self.closes(side, lots)
        return closing * (DOLLAR - paid) - (lots - closing) * paid

    def trade(self, side: int, price: int, lots: int, fee: int) -> None:
        """Book a trade. A partial close keeps the average cost."""
        paid = price if side == 0 else DOLLAR - price
        closing = self.closes(side, lots)
        if closing:
            released = self.cost * closing // abs(self.position)
            self.cost -= released
            self.realized += closing * (DOLLAR - paid) - released
        self.cost += (lots - closing) * paid
        self.position += lots if side == 0 else -lots
        self.traded += lots * paid
        self.fees += fee

    def settle(self, value: int) -> int:
        """Pay out at `value` pips a YES, whole cents alone; return the cash."""
        exact = self.position * value if self.position > 0 else -self.position * (DOLLAR - value)
        payout = exact - exact % CENT_MICROS
        self.realized += exact - self.cost
        self.fees += exact - payout
        self.position = self.cost = 0
        return payout


@dataclass
class Member:
    """One account: cash, holdings by market, and everything that it did."""

    cash: int
    holdings: dict[str, Holding] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    fills: list[tuple[int, str, int, int, int, bool, int]] = field(default_factory=list)
    settlements: list[tuple[str, int, int, int, int, int]] = field(default_factory=list)

    def holding(self, ticker: str) -> Holding:
        """What it has in a market."""
        return self.holdings.setdefault(ticker, Holding())

    def held_back(self, orders: list[Order]) -> int:
        """Micros that its working orders can cost at worst: of each side of each market, less what closing brings."""
        total = 0
        for ticker in {order.ticker for order in orders}:
            position = self.holding(ticker).position
            for side, against in ((0, max(0, -position)), (1, max(0, position))):
                mine = [order for order in orders if (order.ticker, order.side) == (ticker, side)]
                cost = sum(order.paid * order.left + max(0, order.fee_bound - order.fees) for order in mine)
                total += max(0, cost - DOLLAR * min(against, sum(order.left for order in mine)))
        return total
