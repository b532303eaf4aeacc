"""The exchange's accounts, markets and timers, and the check that nothing is lost between them."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import DOLLAR, MICROS_PER_DOLLAR
from kalshi_ray.errors import ConfigError, LedgerBroken, UnknownName
from kalshi_ray.exchange.simulator.accounts import SUBACCOUNTS, Account
from kalshi_ray.exchange.simulator.clearing import Clearing
from kalshi_ray.exchange.simulator.flow import ASK, BID
from kalshi_ray.exchange.simulator.lifecycle import UNSETTLED, step_word
from kalshi_ray.exchange.simulator.market import Market
from kalshi_ray.exchange.simulator.orders import LiveOrder
from kalshi_ray.exchange.simulator.outbox import Outbox, Private
from kalshi_ray.exchange.simulator.settings import PRECISIONS, MarketTerms, SimulatorSettings
from kalshi_ray.wire.trading import Settlement

EXPIRE, OPEN, CLOSE, SETTLE = range(4)  # which goes first at the same time
Subject = LiveOrder | Market


class ExchangeState:
    """Everything the exchange knows. Time is what the calls say; it never goes back."""

    def __init__(self, settings: SimulatorSettings | None = None, seed: int = 0) -> None:
        self.settings = settings or SimulatorSettings()
        self.clearing = Clearing(PRECISIONS[self.settings.member], seed)
        self.accounts: list[Account] = []
        self.markets_by_ticker: dict[str, Market] = {}
        self.deposits = 0  # micros paid in, less what was taken out
        self.exchange_active = self.trading_active = True
        self._timers: list[tuple[int, int, int, Subject]] = []
        self._timer_numbers = count()

    @property
    def outbox(self) -> Outbox:
        """What happened and was not drained yet, in order."""
        return self.clearing.outbox

    @property
    def now_ns(self) -> int:
        """The latest time that a call named."""
        return self.clearing.now_ns

    def drain(self) -> Outbox:
        """Take what happened since the last time."""
        happened, self.clearing.outbox = self.clearing.outbox, []
        return happened

    # -- who and what there is

    def create_account(self, dollars: float) -> Account:
        """A member with this much cash in its primary subaccount."""
        micros = round(dollars * MICROS_PER_DOLLAR)
        if micros < 0:
            raise ConfigError(f"an account starts with cash, not with {dollars} dollars")
        account = Account(self.clearing.next_id("user")[1], self.settings.kept)
        account.subaccount(0).cash = micros
        self.deposits += micros
        self.accounts.append(account)
        return account

    def transfer(self, account: Account, source: int, target: int, micros: int) -> None:
        """Move free cash between subaccounts of one account."""
        for number in (source, target):
            if not 0 <= number < SUBACCOUNTS:
                raise ConfigError(f"subaccounts are 0 to {SUBACCOUNTS - 1}, got {number}")
        free = account.subaccount(source).free
        if not 0 <= micros <= free:
            raise ConfigError(f"subaccount {source} has {free} micros free, {micros} cannot be moved")
        account.subaccount(source).cash -= micros
        account.subaccount(target).cash += micros

    def open_market(self, terms: MarketTerms) -> Market:
        """List a market. It trades from its open time on."""
        if terms.ticker in self.markets_by_ticker:
            raise ConfigError(f"market {terms.ticker} is listed already")
        market = Market(terms, self.settings.model, self.clearing, self.settings.kept)
        self.markets_by_ticker[terms.ticker] = market
        self.schedule(terms.open_ns, OPEN, market)
        if terms.close_ns:
            self.schedule(terms.close_ns, CLOSE, market)
        market.tell_change(
            "created",
            open_ns=terms.open_ns,
            close_ns=terms.close_ns,
            ranges=terms.ranges,
            event=terms.event,
            price_structure=terms.price_structure,
            exchange_index=terms.exchange_index,
        )
        self.turn(self.now_ns)
        return market

    def market_of(self, ticker: str) -> Market:
        """The market of that ticker; an error that names those there are."""
        found = self.markets_by_ticker.get(ticker)
        if found is None:
            raise UnknownName("market", ticker, list(self.markets_by_ticker))
        return found

    # -- time

    def schedule(self, at_ns: int, what: int, subject: Subject) -> None:
        """Something falls due. Whoever changes it later schedules anew; the earlier timer then finds nothing to do."""
        heappush(self._timers, (at_ns, what, next(self._timer_numbers), subject))

    def turn(self, now_ns: int) -> None:
        """Let the clock stand at `now_ns`, after everything that fell due up to then."""
        clearing, timers = self.clearing, self._timers
        while timers and timers[0][0] <= now_ns:
            at_ns, what, _, subject = heappop(timers)
            clearing.now_ns = max(clearing.now_ns, at_ns)
            self._act(at_ns, what, subject)
        clearing.now_ns = max(clearing.now_ns, now_ns)

    def _act(self, at_ns: int, what: int, subject: Subject) -> None:
        if isinstance(subject, LiveOrder):
            if subject.is_live and subject.expires_ns == at_ns:
                market = self.markets_by_ticker[subject.ticker]
                market.cancel(subject, "ExpiryCancel")
                market.publish(subject.cause)
            return
        if what == OPEN and subject.status is Status.INITIALIZED:
            subject.become(Status.ACTIVE)
        elif what == CLOSE and subject.close_ns == at_ns:
            subject.close()
        elif what == SETTLE and subject.settle_ns == at_ns and subject.status in UNSETTLED:
            self.settle(subject)
        subject.publish()

    # -- the end of a market

    def determine(self, market: Market, value: int) -> None:
        """The result is known; payout follows after the settlement timer."""
        market.determine(value)
        self.schedule(market.settle_ns, SETTLE, market)
        self.turn(self.now_ns)

    def settle(self, market: Market) -> None:
        """Pay out every position."""
        step_word(market.ticker, market.status, Status.FINALIZED)
        value = market.value
        if value is None:
            raise LedgerBroken(f"{market.ticker} is to be settled without a result")
        market.status, market.settled_ns = Status.FINALIZED, self.now_ns
        for account in self.accounts:
            for number, subaccount in account.subaccounts.items():
                if market.ticker in subaccount.holdings:
                    self._pay(market, account, number, value)
        flow = market.flow_holding
        position, fees = flow.position, flow.fees
        market.flow_cash += flow.settle(value, self.now_ns)
        market.fees += flow.fees - fees
        market.note_position(position, 0)
        market.tell_change("settled", status=Status.FINALIZED)

    def _pay(self, market: Market, account: Account, number: int, value: int) -> None:
        subaccount = account.subaccount(number)
        holding = subaccount.holding(market.ticker)
        position, cost, fees = holding.position, holding.cost, holding.fees
        paid = holding.settle(value, self.now_ns)
        subaccount.cash += paid
        market.fees += holding.fees - fees
        market.note_position(position, 0)
        account.changed_ns = self.now_ns
        if position == 0:
            return
        yes, no = max(0, position), max(0, -position)
        account.settlements.append(
            (
                number,
                Settlement(
                    ticker=market.ticker, event=market.terms.event, result=market.result, yes_size=yes, no_size=no,
                    yes_cost=cost if yes else 0, no_cost=cost if no else 0, revenue=paid, value=value,
                    fee=holding.fees, settled_ns=self.now_ns, exchange_index=market.terms.exchange_index,
                ),
            )
        )  # fmt: skip
        self.outbox.append(Private("private", account, holding.message(market.ticker, account.user_id, number)))

    # -- what must hold

    def audit(self) -> None:
        """Raise LedgerBroken unless money and contracts are conserved and every book is what it says it is."""
        cash = sum(sub.cash for account in self.accounts for sub in account.subaccounts.values())
        pairs = fees = 0
        for market in self.markets_by_ticker.values():
            cash += market.flow_cash
            fees += market.fees
            pairs += self._audit_positions(market)
            _audit_book(market)
        if cash + DOLLAR * pairs + fees != self.deposits:
            raise LedgerBroken(
                f"cash {cash} + open pairs {DOLLAR * pairs} + fees {fees} micros are not the {self.deposits} paid in"
            )
        for account in self.accounts:
            _audit_account(account)

    def _audit_positions(self, market: Market) -> int:
        """Lots of open pairs of YES and NO."""
        found = [market.flow_holding]
        for account in self.accounts:
            found += [s.holdings[market.ticker] for s in account.subaccounts.values() if market.ticker in s.holdings]
        longs = sum(max(0, holding.position) for holding in found)
        shorts = sum(max(0, -holding.position) for holding in found)
        if longs != shorts:
            raise LedgerBroken(f"{market.ticker}: {longs} lots long and {shorts} short")
        if longs != market.open_interest:
            raise LedgerBroken(f"{market.ticker}: {longs} lots are open, {market.open_interest} are told")
        if sum(holding.fees for holding in found) != market.fees:
            raise LedgerBroken(f"{market.ticker}: fees of its holders are not the {market.fees} micros it took")
        return longs


def _audit_book(market: Market) -> None:
    book, name = market.book, market.ticker
    for ladder in book.ladders:
        for price, level in ladder.levels.items():
            if not level.orders or level.lots != sum(order.left for order in level.orders.values()):
                raise LedgerBroken(f"{name}: the orders at {price} do not add up to {level.lots} lots")
            for order in level.orders.values():
                if not order.is_live or order.left <= 0 or order.price != price or order.side != ladder.side:
                    raise LedgerBroken(f"{name}: order {order.id} does not belong where it rests")
    for side in (BID, ASK):
        if any(lots <= 0 for lots in book.display.shown[side].values()):
            raise LedgerBroken(f"{name}: a level that is shown has no lots")
    bid, ask, _, _ = book.display.touch
    if bid >= ask:
        raise LedgerBroken(f"{name}: the book shows bid {bid} and ask {ask}")
    if book.ladders[BID].best >= book.ladders[ASK].best:
        raise LedgerBroken(f"{name}: orders of accounts stand crossed")


def _audit_account(account: Account) -> None:
    for number, subaccount in account.subaccounts.items():
        for ticker, holding in subaccount.holdings.items():
            orders = [o for o in account.orders.working.values() if (o.subaccount, o.ticker) == (number, ticker)]
            lots = [sum(order.left for order in orders if order.side == side) for side in (BID, ASK)]
            value = [
                sum(order.paid * order.left + order.locked_fee for order in orders if order.side == side)
                for side in (BID, ASK)
            ]
            if lots != holding.lots or value != holding.value or holding.locked != holding.need():
                raise LedgerBroken(f"{account} {number} {ticker}: orders and what they hold back do not agree")
        if subaccount.locked != sum(holding.locked for holding in subaccount.holdings.values()):
            raise LedgerBroken(f"{account} {number}: {subaccount.locked} micros held back are not its holdings'")
        if subaccount.free < 0:
            raise LedgerBroken(f"{account} {number}: {subaccount.free} micros are free")
    for order in account.orders.by_id.values():
        if not 0 <= order.filled <= order.size or order.is_live != (order.id in account.orders.working):
            raise LedgerBroken(f"order {order.id} filled {order.filled} of {order.size}, {order.status.value}")
