"""What one can ask the exchange."""

from __future__ import annotations

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.wire.listing import Candle
from kalshi_ray.wire.messages import FeeChange, Trade
from kalshi_ray.wire.trading import OrderStatus, PositionMessage, Refused, TickerMessage, TimeInForce
from tests.exchange.simulator.scenes import ASK, BID, T0, TICKER, Scene

MINUTE = 60 * SECOND


def traded() -> Scene:
    """Account 0 is long 4 at 45, rests 6 more; account 1 sold them; a cancelled order of account 0."""
    scene = Scene()
    scene.flow({40: 5}, {52: 5})
    scene.place(0, BID, 45, 10, client_order_id="long")
    scene.wait(30)
    scene.place(1, ASK, 45, 4)
    scene.wait(60)
    scene.cancel(0, scene.place(0, BID, 44, 1))
    return scene


def test_orders_are_listed_by_state_time_and_market() -> None:
    scene = traded()
    exchange, account = scene.exchange, scene.accounts[0]
    assert [order.price for order in exchange.orders(account)] == [4_400, 4_500]
    (resting,) = exchange.orders(account, status=OrderStatus.RESTING)
    assert (resting.filled, resting.remaining, resting.maker_cost) == (400, 600, 1_800_000)
    assert [order.price for order in exchange.orders(account, status=OrderStatus.CANCELED)] == [4_400]
    assert [order.status for order in exchange.orders(scene.accounts[1])] == [OrderStatus.EXECUTED]
    assert [order.price for order in exchange.orders(account, min_ns=T0 + SECOND)] == [4_400]
    assert [order.price for order in exchange.orders(account, max_ns=T0)] == [4_500]
    assert exchange.orders(account, tickers=["NONE"]) == []
    assert len(exchange.orders(account, events=["E"])) == 2
    assert exchange.orders(account, subaccount=3) == []
    assert isinstance(exchange.order(scene.accounts[1], resting.order_id), Refused)


def test_fills_positions_and_balance_agree() -> None:
    scene = traded()
    exchange, account = scene.exchange, scene.accounts[0]
    (fill,) = exchange.fills(account)
    assert (fill.price, fill.size, fill.is_taker, fill.side) == (4_500, 400, False, BID)
    (position,) = exchange.positions(account)
    assert (position.position, position.exposure, position.traded) == (400, 1_800_000, 1_800_000)
    assert position.fees == fill.fee
    (event,) = exchange.event_positions(account)
    assert (event.event, event.size, event.exposure) == ("E", 400, 1_800_000)
    told = scene.private(0, PositionMessage)[-1]
    assert (told.position, told.cost, told.fees, told.volume) == (400, 1_800_000, fill.fee, 400)
    balance = exchange.balance(account)
    assert balance.portfolio_value == 400 * 4_500  # the best bid is its own
    locked = account.subaccount(0).locked
    assert balance.cash == 1_000_000_000 - 1_800_000 - fill.fee - locked
    assert 600 * 4_500 <= locked <= 600 * 4_700


def test_queue_positions_are_lots_in_front_at_the_level() -> None:
    scene = Scene()
    scene.flow({45: 5})
    scene.place(0, BID, 45, 2)
    second = scene.place(1, BID, 45, 2)
    scene.place(1, BID, 44, 1)
    exchange, account = scene.exchange, scene.accounts[1]
    assert [one.ahead for one in exchange.queue_positions(account)] == [700, 0]
    assert isinstance(exchange.queue_position(account, "none"), Refused)
    scene.print(ASK, 45, 6)
    assert scene.ahead(1, second) == 1


def test_market_event_and_series_are_listed_with_what_is_traded() -> None:
    scene = traded()
    exchange = scene.exchange
    exchange.open_market(MarketTerms(ticker="OTHER", event="F", series="G", fee_type="quadratic", open_ns=T0 * 2))
    market = exchange.market(TICKER)
    assert not isinstance(market, Refused)
    assert (market.status, market.bid, market.ask, market.last_price, market.volume) == (
        "active",
        4_500,
        5_200,
        4_500,
        400,
    )
    assert (market.bid_size, market.open_interest, market.volume_24h) == (600, 400, 400)
    assert [one.ticker for one in exchange.markets(statuses=[Status.INITIALIZED])] == ["OTHER"]
    assert [one.ticker for one in exchange.markets(series="S")] == [TICKER]
    assert [event.ticker for event in exchange.events()] == ["E", "F"]
    assert [series.fee_type for series in exchange.all_series()] == ["quadratic_with_maker_fees", "quadratic"]
    for missing in (exchange.market("X"), exchange.event("X"), exchange.series("X"), exchange.book("X")):
        assert isinstance(missing, Refused) and missing.status == 404
    assert exchange.snapshot("X") is None


def test_book_and_trades_are_the_public_ones() -> None:
    scene = traded()
    book, snapshot = scene.exchange.book(TICKER, depth=1), scene.exchange.snapshot(TICKER)
    assert not isinstance(book, Refused) and snapshot is not None
    assert (book.bids, book.asks) == (((4_500, 600),), ((5_200, 500),))
    assert snapshot.bids == ((4_500, 600), (4_000, 500))
    (found,) = scene.exchange.trades(ticker=TICKER)
    (told,) = scene.public(Trade)
    assert (found.trade_id, found.price, found.size, found.taker) == (told.trade_id, 4_500, 400, ASK)
    assert scene.exchange.trades(min_ns=T0 + 90 * SECOND) == []


def test_the_ticker_tells_the_touch_and_the_last_trade() -> None:
    scene = traded()
    told = scene.public(TickerMessage)[-1]
    assert (told.price, told.bid, told.ask, told.bid_size, told.volume) == (4_500, 4_500, 5_200, 600, 400)
    assert (told.dollar_volume, told.open_interest) == (2, 400)


def test_candles_hold_what_happened_in_their_minutes() -> None:
    scene = Scene()
    scene.flow({40: 5}, {52: 5})
    scene.wait(-T0 / SECOND % 60)
    start = scene.clock
    scene.place(0, BID, 52, 1, time_in_force=TimeInForce.IOC)
    scene.change(BID, 45, 5)
    scene.wait(90)
    scene.place(0, BID, 52, 2, time_in_force=TimeInForce.IOC)
    scene.print(ASK, 40, 3)
    candles = scene.exchange.candles(TICKER, start_ns=start + 1, end_ns=start + 5 * MINUTE)
    assert not isinstance(candles, Refused)
    first, second = candles
    assert (first.end_ns, second.end_ns) == (start + MINUTE, start + 2 * MINUTE)
    assert (first.bid, first.price, first.volume) == ((4_000, 4_000, 4_500, 4_500), (5_200,) * 4, 100)
    assert (second.price, second.volume, second.previous) == ((5_200, 4_000, 5_200, 4_000), 500, 5_200)
    assert second.mean == 448_000
    assert (first.open_interest, second.open_interest) == (100, 300)
    day = scene.exchange.candles(TICKER, start_ns=0, end_ns=2**62, period_ns=1_440 * MINUTE)
    assert isinstance(day, tuple) and isinstance(day[-1], Candle)
    assert (day[-1].price, day[-1].volume) == ((5_200, 4_000, 5_200, 4_000), 600)


def test_fees_of_an_event_override_those_of_its_series() -> None:
    scene = Scene()
    scene.exchange.apply_flow(FeeChange(event="E", fee_type="quadratic", multiplier_ppm=500_000), scene.clock)
    assert (scene.market.taker_ppm, scene.market.maker_ppm) == (35_000, 0)
    scene.exchange.apply_flow(FeeChange(event="E", fee_type=None, multiplier_ppm=None), scene.clock)
    assert (scene.market.taker_ppm, scene.market.maker_ppm) == (70_000, 17_500)
