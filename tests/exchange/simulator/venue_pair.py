"""One tape and one list of commands twice: through the environment's venue without latency, and the exchange."""

from __future__ import annotations

from typing import Any, NamedTuple

from kalshi_ray.core.matching import accept_command, advance_venue
from kalshi_ray.core.orders import COMMAND, MAX_MESSAGES, CommandKind, OrderEvent
from kalshi_ray.core.orders import TimeInForce as CoreTimeInForce
from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import MILLISECOND, Side
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowDelta, FlowUpdate
from kalshi_ray.exchange.simulator.settings import MarketTerms, SimulatorSettings
from kalshi_ray.wire.messages import BookSnapshot, RecorderRow, Trade
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    FillMessage,
    OrderRequest,
    Placed,
    Reduced,
    Refused,
    TimeInForce,
)
from tests.core.markets import ASKS, BIDS, FEED, LEVELS, RawCommand, market_of
from tests.core.records import ASK, BID, T0, one, rules_of, trader_of, venue_of
from tests.reference.matching import Command, Row

TICKER = "M"
MODELS = ("pessimistic", "fitted", "optimistic")


class Filled(NamedTuple):
    """One execution; `number` is the command that made the order."""

    number: int
    at: int
    price: int
    size: int
    fee: int
    maker: bool


def price_of(tick: int) -> int:
    """Pips of a tick on the cent grid."""
    return 100 * (tick + 1)


def updates_of(rows: list[Row]) -> list[tuple[int, FlowUpdate]]:
    """Rows of a tape as the exchange takes them, with their times. A snapshot is one update, at its end."""
    found: list[tuple[int, FlowUpdate]] = []
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for row in rows:
        if row.kind == "level":
            sides[row.side][price_of(row.tick)] = row.size
        elif row.kind == "end":
            bids = tuple(sorted(sides[BID].items(), reverse=True))
            found.append((row.at, BookSnapshot(ticker=TICKER, bids=bids, asks=tuple(sorted(sides[ASK].items())))))
            sides = ({}, {})
        elif row.kind != "other":
            found.append((row.at, _update_of(row)))
    return found


def _update_of(row: Row) -> FlowUpdate:
    price = price_of(row.tick)
    if row.kind == "delta":
        return FlowDelta(ticker=TICKER, side=Side(row.side), price=price, change=row.size, by_trade=row.by_trade)
    if row.kind == "print":
        taker = Side.NONE if row.taker is None else Side(row.taker)
        return Trade(ticker=TICKER, price=price, size=row.size, taker=taker, is_block=row.off_book)
    if row.kind == "gap":
        return RecorderRow(ticker=TICKER, kind=Kind.GAP, size=GapCause.SEQUENCE)
    if row.kind == "status":
        return RecorderRow(ticker=TICKER, kind=Kind.STATUS, size=row.size)
    if row.kind == "fee":
        return RecorderRow(ticker=TICKER, kind=Kind.FEE, size=row.rates[0], price=row.rates[1])
    assert row.kind == "settlement"
    return RecorderRow(ticker=TICKER, kind=Kind.SETTLEMENT, price=row.size)


class VenuePair:
    """The environment's venue with entry and response 0 beside the exchange with one account."""

    def __init__(self, rows: list[Row], model: int = 0, precision: int = 100, *, audited: bool = True) -> None:
        self.tape, self.audited = market_of(rows), audited
        self.trader = trader_of(BIDS, ASKS)
        self.venue = venue_of(self.trader, len(rows))
        self.rules = rules_of(fill_model=model, fee_precision=precision, feed_ns=FEED, entry_ns=0, response_ns=0)
        member = "direct" if precision == 100 else "cleared"
        self.exchange = Exchange(SimulatorSettings(fill_model=MODELS[model], member=member), seed=1)  # type: ignore[arg-type]
        self.account = self.exchange.create_account(1_000_000)
        self.market = self.exchange.open_market(MarketTerms(ticker=TICKER, event="E", series="S"))
        levels = [sorted(((price_of(t), s) for t, s in side.items()), reverse=side is BIDS) for side in (BIDS, ASKS)]
        self.exchange.apply_flow(BookSnapshot(ticker=TICKER, bids=tuple(levels[0]), asks=tuple(levels[1])), T0)
        self.updates = updates_of(rows)
        self.at = 0
        self.ids: dict[int, str] = {}  # order id by number
        self.numbers: dict[str, int] = {}
        self.venue_fills: list[Filled] = []
        self.exchange_fills: list[Filled] = []
        self.refused: list[tuple[bool, bool]] = []  # by the venue, by the exchange
        self._venue_refused = False

    def advance(self, until: int) -> None:
        """Everything up to `until` on both sides; the exchange is audited after each update."""
        advance_venue(self.venue, self.rules, self.tape.updates, self.tape.values, until)
        self._hear_venue()
        while self.at < len(self.updates) and self.updates[self.at][0] <= until:
            at, update = self.updates[self.at]
            self.exchange.apply_flow(update, at)
            self.at += 1
            self._hear_exchange()
            if self.audited:
                self.exchange.audit()
        self.exchange.advance(until)
        self._hear_exchange()

    def send(self, command: Command, now: int) -> None:
        """One command to both; both say yes or both say no."""
        accept_command(self.venue, self.rules, _record_of(command), now)
        self._venue_refused = False
        advance_venue(self.venue, self.rules, self.tape.updates, self.tape.values, now)
        self._hear_venue()
        answer = self._tell(command, now)
        self._hear_exchange()
        if self.audited:
            self.exchange.audit()
        self.refused.append((self._venue_refused, isinstance(answer, Refused)))

    def _tell(self, command: Command, now: int) -> Placed | Reduced | Refused:
        price, side = price_of(command.tick), Side(command.side)
        if command.kind == "cancel":
            order_id = self.ids[command.id]
            return self.exchange.cancel(self.account, Cancel(order_id=order_id, ticker=TICKER), now)
        if command.kind == "amend":
            asked = Amendment(
                order_id=self.ids[command.id], ticker=TICKER, side=side, price=price, size=command.size,
                expires_ns=command.expires,
            )  # fmt: skip
            return self.exchange.amend(self.account, asked, now)
        request = OrderRequest(
            ticker=TICKER, client_order_id=str(command.id), side=side, size=command.size, price=price,
            time_in_force=TimeInForce.GTC if command.rests else TimeInForce.IOC, post_only=command.post_only,
            reduce_only=command.reduce_only, expires_ns=command.expires,
        )  # fmt: skip
        self.numbers[request.client_order_id] = command.id
        answer = self.exchange.place(self.account, request, now)
        if isinstance(answer, Placed):
            self.ids[command.id] = answer.order_id
        return answer

    def _hear_venue(self) -> None:
        venue = self.venue
        for at in range(venue["message_count"]):
            message = venue["messages"][(venue["message_start"] + at) % MAX_MESSAGES]
            if message["event"] == OrderEvent.FILL:
                names = ("id", "venue_ns", "price", "size", "fee", "maker")
                self.venue_fills.append(Filled(*(int(message[name]) for name in names)))  # type: ignore[arg-type]
            self._venue_refused |= message["event"] == OrderEvent.REFUSE
        venue["message_start"] = venue["message_count"] = venue["taken_start"] = venue["taken_count"] = 0

    def _hear_exchange(self) -> None:
        for happening in self.exchange.drain():
            value = happening.value
            if isinstance(value, FillMessage):
                number = self.numbers[value.client_order_id]
                filled = Filled(number, value.exch_ns, value.price, value.size, value.fee, not value.is_taker)
                self.exchange_fills.append(filled)

    def check_same(self) -> None:
        """The same fills at the same times, the same refusals, the same orders in the same places."""
        assert self.exchange_fills == self.venue_fills
        assert [exchange for _, exchange in self.refused] == [venue for venue, _ in self.refused]
        venue, flow = self.venue, self.market.book.flow
        assert self.account.subaccount(0).holding(TICKER).volume == sum(fill.size for fill in self.venue_fills)
        live = {int(order["id"]): order for order in venue["orders"] if order["live"]}
        working = {self.numbers[order.client_order_id]: order for order in self.account.orders.working.values()}
        assert live.keys() == working.keys()
        for number, order in live.items():
            found = working[number]
            wanted = [price_of(order["tick"])] + [
                int(order[n]) for n in ("size", "filled", "queue", "owed", "fee_held")
            ]
            assert [found.price, found.size, found.filled, found.queue, found.owed, found.fee_held] == wanted
        if flow.known and not self.market.is_over:
            for side in (BID, ASK):
                for tick in range(LEVELS):
                    left = venue["book"]["recorded"][side, tick] - venue["book"]["consumed"][side, tick]
                    assert flow.left(side, price_of(tick)) == left


def _record_of(command: Command) -> Any:
    record = one(COMMAND)
    record["kind"] = CommandKind[command.kind.upper()]
    record["time_in_force"] = CoreTimeInForce.GTC if command.rests else CoreTimeInForce.IOC
    for name in ("slot", "id", "side", "tick", "size", "post_only", "reduce_only"):
        record[name] = getattr(command, name)
    record["expires_ns"], record["price"] = command.expires, price_of(command.tick)
    return record


def play(pair: VenuePair, raw: list[RawCommand]) -> None:
    """Send what is possible at each decision and go on to the end of the tape. Own orders are kept from meeting."""
    now, number = T0, 1
    for pause, what, slot, tick, lots, life, detail in raw:
        now += pause * MILLISECOND
        pair.advance(now)
        orders = pair.venue["orders"]
        side, expires = slot % 2, now + life * MILLISECOND if life else 0
        rests = slot < 2
        if rests and detail:  # mostly where it does not cross
            tick = min(tick, 49) if slot == BID else max(tick, 51)
        order, other = orders[slot], orders[1 - side]
        meets = bool(other["live"]) and (tick >= other["tick"] if side == BID else tick <= other["tick"])
        if order["live"]:
            current = int(order["id"])
            if what == "cancel":
                pair.send(Command("cancel", slot, current), now)
            elif not meets or detail % 2:
                where = int(order["tick"]) if detail % 2 else tick
                size = max(1, int(order["filled"]) + lots // 2 - detail * 2)
                # In a pause the exchange takes no amendment; the venue ends an order by one that leaves nothing of it.
                if size > order["filled"] or pair.market.trades_now:
                    pair.send(Command("amend", slot, current, side, where, size, expires), now)
        elif what == "create" and not meets:
            pair.send(
                Command("create", slot, number, side, tick, lots, expires if rests else 0, rests, rests,
                        not rests and detail == 3), now,
            )  # fmt: skip
            number += 1
    pair.advance(now + 500 * MILLISECOND)
