"""A ledger in plain integers: micros, pips, lots. YES contracts and NO contracts are two piles, one always empty."""

from __future__ import annotations

DOLLAR = 10_000
CENT = 10_000  # micros


class Ledger:
    """Contracts are paid in full; a YES and a NO together are worth a dollar and are redeemed at once."""

    def __init__(self, start: int) -> None:
        self.start = self.cash = start
        self.yes = self.no = 0  # lots
        self.cost = self.realized = self.fees = self.refund = 0

    @property
    def position(self) -> int:
        return self.yes - self.no

    def buy_yes(self, price: int, lots: int, fee: int = 0) -> None:
        redeemed = min(lots, self.no)
        self._redeem(redeemed, self.no, price)
        self.no -= redeemed
        self._open(lots - redeemed, price)
        self.yes += lots - redeemed
        self._pay_fee(fee)

    def buy_no(self, price: int, lots: int, fee: int = 0) -> None:
        """`price` is that of a NO contract."""
        redeemed = min(lots, self.yes)
        self._redeem(redeemed, self.yes, price)
        self.yes -= redeemed
        self._open(lots - redeemed, price)
        self.no += lots - redeemed
        self._pay_fee(fee)

    def sell_yes(self, price: int, lots: int, fee: int = 0) -> None:
        """The same trade as buying NO at the rest of a dollar."""
        self.buy_no(DOLLAR - price, lots, fee)

    def refund_cost(self, micros: int) -> None:
        self.cash += micros
        self.refund += micros

    def settle(self, value: int) -> None:
        """`value` pips for each YES, the rest of a dollar for each NO; floored to a cent, the remainder is a fee."""
        exact = self.yes * value + self.no * (DOLLAR - value)
        self.cash += exact // CENT * CENT
        self.fees += exact % CENT
        self.realized += exact - self.cost
        self.cost = self.yes = self.no = 0

    def value(self, bid: int, ask: int) -> int:
        """What selling everything would bring: YES at the bid, NO at the NO bid, which is a dollar less the YES ask."""
        return self.yes * bid + self.no * (DOLLAR - ask)

    def is_balanced(self) -> bool:
        return self.cash == self.start - self.cost + self.realized - self.fees + self.refund

    def _redeem(self, lots: int, held: int, paid: int) -> None:
        """Buy `lots` of the other side at `paid` and turn each pair into a dollar."""
        if lots == 0:
            return
        average_cost = self.cost * lots // held
        self.cash += lots * DOLLAR - lots * paid
        self.realized += lots * DOLLAR - lots * paid - average_cost
        self.cost -= average_cost

    def _open(self, lots: int, paid: int) -> None:
        self.cash -= lots * paid
        self.cost += lots * paid

    def _pay_fee(self, fee: int) -> None:
        self.cash -= fee
        self.fees += fee
