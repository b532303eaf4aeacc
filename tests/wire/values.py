"""Random values of everything that is written on the wire, each as exact as the wire can say it."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from kalshi_ray.core.units import DOLLAR, MICROSECOND, MILLISECOND, SECOND, Side
from kalshi_ray.wire.commands import (
    Action,
    Channel,
    ListSubscriptions,
    Subscribe,
    Unsubscribe,
    UpdateSubscription,
)
from kalshi_ray.wire.listing import (
    AccountLimits,
    Book,
    Bucket,
    Candle,
    EndpointCosts,
    Event,
    EventCandles,
    ExchangeStatus,
    FeeSchedule,
    Grant,
    Leg,
    Market,
    Print,
    Schedule,
    Series,
    ShardStatus,
    Strike,
    Week,
)
from kalshi_ray.wire.trading import (
    AccountFill,
    Amendment,
    Balance,
    Cancel,
    Decrease,
    EventPosition,
    FillMessage,
    GroupCreated,
    GroupMessage,
    GroupRequest,
    Order,
    OrderGroup,
    OrderMessage,
    OrderRequest,
    OrderStatus,
    Page,
    Placed,
    Position,
    PositionMessage,
    Positions,
    QueuePosition,
    Reduced,
    Refused,
    SelfTrade,
    Settlement,
    TickerMessage,
    TimeInForce,
)

LATEST = 4_000_000_000  # seconds: the year 2096

tickers = st.sampled_from(["KXA-26-T1", "KXBTCD-26JUL0317-T60499.99", "KXMVE-S2-8"])
uuids = st.uuids().map(str)
words = st.text('abcdefgh -_.:/é"\\', max_size=8)
prices = st.integers(1, DOLLAR - 1)
scale = st.integers(0, DOLLAR)
sizes = st.integers(0, 10**12)
signed_sizes = st.integers(-(10**12), 10**12)
money = st.integers(0, 10**15)
signed_money = st.integers(-(10**15), 10**15)
counts = st.integers(0, 10**9)
sides = st.sampled_from([Side.BID, Side.ASK])
shards = st.integers(-1, 3)
real_shards = st.integers(0, 3)
subaccounts = st.integers(0, 63)
seconds = st.integers(0, LATEST).map(lambda t: t * SECOND)
milliseconds = st.integers(0, LATEST * 1000).map(lambda t: t * MILLISECOND)
microseconds = st.integers(0, LATEST * 1_000_000).map(lambda t: t * MICROSECOND)
some_microseconds = microseconds.filter(bool)
ppm = st.integers(0, 10_000_000)
cursors = st.sampled_from(["", "CgYI8JHtswkSDktYRVJVUFRTVVBFUi0w"])
fee_types = st.sampled_from(["quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees", "flat"])


def pages(items: st.SearchStrategy, most: int = 3) -> st.SearchStrategy:  # type: ignore[type-arg]  # of any item
    return st.builds(Page, st.lists(items, max_size=most).map(tuple), cursors)


def tuples(items: st.SearchStrategy, most: int = 3) -> st.SearchStrategy:  # type: ignore[type-arg]  # of any item
    return st.lists(items, max_size=most).map(tuple)


order_requests = st.builds(
    OrderRequest,
    ticker=tickers,
    client_order_id=words,
    side=sides,
    size=sizes,
    price=scale,
    time_in_force=st.sampled_from(TimeInForce),
    self_trade=st.sampled_from(SelfTrade),
    post_only=st.booleans(),
    reduce_only=st.booleans(),
    cancel_on_pause=st.booleans(),
    expires_ns=seconds,
    group=words,
    subaccount=subaccounts,
    exchange_index=shards,
)
amendments = st.builds(
    Amendment,
    order_id=uuids,
    ticker=tickers,
    side=sides,
    price=scale,
    size=sizes,
    client_order_id=words,
    updated_client_order_id=words,
    expires_ns=st.none() | seconds,
    subaccount=subaccounts,
    exchange_index=shards,
)
decreases = st.builds(
    Decrease, order_id=uuids, ticker=tickers, by=sizes, subaccount=subaccounts, exchange_index=shards
) | st.builds(Decrease, order_id=uuids, ticker=tickers, to=sizes, subaccount=subaccounts, exchange_index=shards)
cancels = st.builds(Cancel, order_id=uuids, ticker=tickers, subaccount=subaccounts, exchange_index=shards)
placed = st.builds(
    Placed,
    order_id=uuids,
    client_order_id=words,
    filled=sizes,
    remaining=sizes,
    average_price=st.none() | money,
    average_fee=st.none() | signed_money,
    ts_ns=milliseconds,
)
cancelled = st.builds(Reduced, order_id=uuids, client_order_id=words, reduced_by=sizes, ts_ns=milliseconds)
decreased = st.builds(Reduced, order_id=uuids, client_order_id=words, remaining=sizes, ts_ns=milliseconds)
codes = st.sampled_from(["not_found", "invalid_price", "bad_request"])
refusals = st.builds(
    Refused,
    status=st.sampled_from([400, 401, 404, 409, 429, 503]),
    code=codes,
    message=words,
    details=words,
)
item_refusals = st.builds(Refused, status=st.just(0), code=codes, message=words, details=words)

orders = st.builds(
    Order,
    order_id=uuids,
    client_order_id=words,
    ticker=tickers,
    side=sides,
    price=scale,
    status=st.sampled_from(OrderStatus),
    size=sizes,
    filled=sizes,
    remaining=sizes,
    taker_cost=money,
    maker_cost=money,
    taker_fees=signed_money,
    maker_fees=signed_money,
    self_trade=st.none() | st.sampled_from(SelfTrade),
    group=words,
    created_ns=microseconds,
    updated_ns=microseconds,
    expires_ns=microseconds,
    subaccount=subaccounts,
    exchange_index=real_shards,
    user_id=uuids,
    cancel_on_pause=st.booleans(),
)
queue_positions = st.builds(QueuePosition, order_id=uuids, ticker=tickers, ahead=sizes)
fills = st.builds(
    AccountFill,
    trade_id=uuids,
    order_id=uuids,
    ticker=tickers,
    side=sides,
    price=scale,
    size=sizes,
    is_taker=st.booleans(),
    fee=signed_money,
    exch_ns=microseconds,
    subaccount=subaccounts,
    exchange_index=real_shards,
)
positions = st.builds(
    Positions,
    markets=tuples(
        st.builds(
            Position,
            ticker=tickers,
            position=signed_sizes,
            exposure=money,
            traded=money,
            realized=signed_money,
            fees=signed_money,
            updated_ns=microseconds,
            exchange_index=real_shards,
        )
    ),
    events=tuples(
        st.builds(
            EventPosition,
            event=tickers,
            cost=money,
            size=sizes,
            exposure=money,
            realized=signed_money,
            fees=signed_money,
        )
    ),
    cursor=cursors,
)
balances = st.builds(
    Balance,
    cash=signed_money,
    portfolio_value=st.integers(0, 10**9).map(lambda cents: cents * 10_000),
    updated_ns=seconds,
    by_shard=tuples(st.tuples(real_shards, signed_money)),
)
settlements = st.builds(
    Settlement,
    ticker=tickers,
    event=tickers,
    result=st.sampled_from(["yes", "no", "scalar"]),
    yes_size=sizes,
    no_size=sizes,
    yes_cost=money,
    no_cost=money,
    revenue=st.integers(0, 10**9).map(lambda cents: cents * 10_000),
    value=st.none() | st.integers(0, 100).map(lambda cents: cents * 100),
    fee=money,
    settled_ns=microseconds,
    exchange_index=real_shards,
)
limits = st.integers(1, 10**9)
group_requests = st.builds(GroupRequest, limit=limits, subaccount=subaccounts, exchange_index=real_shards)
groups_created = st.builds(GroupCreated, group=uuids, subaccount=subaccounts, exchange_index=real_shards)
listed_groups = st.builds(
    OrderGroup,
    group=uuids,
    limit=st.none() | limits,
    is_auto_cancel_enabled=st.booleans(),
    exchange_index=real_shards,
)
groups = st.builds(
    OrderGroup,
    group=st.just("G"),
    limit=st.none() | limits,
    is_auto_cancel_enabled=st.booleans(),
    orders=tuples(uuids),
    exchange_index=real_shards,
)

grids = st.sampled_from([((0, DOLLAR, 100),), ((0, 1000, 10), (1000, 9000, 100), (9000, DOLLAR, 10))])
strike_ends = st.none() | st.decimals(-(10**6), 10**6, places=2)
strikes = st.builds(
    Strike,
    type=st.sampled_from(["greater", "between", "custom"]),
    floor=strike_ends,
    cap=strike_ends,
    custom=st.dictionaries(words, words, max_size=2).map(lambda pairs: msgspec.json.encode(pairs).decode()),
    functional=words,
)
markets = st.builds(
    Market,
    ticker=tickers,
    event=tickers,
    status=st.sampled_from(["initialized", "inactive", "active", "closed", "determined", "finalized"]),
    market_type=st.sampled_from(["binary", "scalar"]),
    title=words,
    open_ns=microseconds,
    close_ns=microseconds,
    bid=st.none() | prices,
    ask=st.none() | prices,
    bid_size=sizes,
    ask_size=sizes,
    last_price=st.none() | prices,
    volume=sizes,
    volume_24h=sizes,
    open_interest=sizes,
    ranges=grids,
    price_structure=st.sampled_from(["linear_cent", "tapered_deci_cent"]),
    result=st.sampled_from(["", "yes", "no", "scalar"]),
    settlement_value=st.none() | scale,
    settled_ns=microseconds,
    can_close_early=st.booleans(),
    exchange_index=real_shards,
    created_ns=microseconds,
    updated_ns=microseconds,
    expected_expiration_ns=microseconds,
    latest_expiration_ns=microseconds,
    occurrence_ns=microseconds,
    fee_waiver_ends_ns=microseconds,
    settlement_timer_s=st.integers(0, 10**6),
    settlement_bounds=st.sampled_from(["", "floor"]),
    expiration_value=words,
    early_close_condition=words,
    yes_subtitle=words,
    no_subtitle=words,
    rules=words,
    further_rules=words,
    notional=st.just(DOLLAR),
    previous_price=st.none() | prices,
    previous_bid=st.none() | prices,
    previous_ask=st.none() | prices | st.just(DOLLAR),
    strike=st.none() | strikes,
    is_provisional=st.booleans(),
    collection=words,
    legs=tuples(
        st.builds(
            Leg,
            event=tickers,
            ticker=tickers,
            side=st.sampled_from(["yes", "no"]),
            settlement_value=st.none() | scale,
        )
    ),
)
sources = tuples(st.tuples(words, words))
events = st.builds(
    Event,
    ticker=tickers,
    series=tickers,
    title=words,
    category=words,
    mutually_exclusive=st.booleans(),
    markets=tuples(markets, 2),
    subtitle=words,
    collateral_return=st.sampled_from(["", "MECNET", "DIRECNET"]),
    strike_ns=microseconds,
    strike_period=words,
    fee_type=st.just("") | fee_types,
    multiplier_ppm=st.none() | ppm,
    is_on_brokers=st.booleans(),
    sources=sources,
    updated_ns=microseconds,
    exchange_index=real_shards,
)
series = st.builds(
    Series,
    ticker=tickers,
    title=words,
    category=words,
    frequency=words,
    fee_type=fee_types,
    multiplier_ppm=ppm,
    tags=tuples(words),
    sources=sources,
    contract_url=words,
    terms_url=words,
    prohibitions=tuples(words),
    volume=st.none() | sizes,
    updated_ns=microseconds,
    exchange_index=real_shards,
)
series_fees = st.builds(
    FeeSchedule, name=tickers, fee_type=fee_types, multiplier_ppm=ppm, from_ns=microseconds, id=words
)
event_fees = st.builds(
    FeeSchedule,
    name=tickers,
    fee_type=st.none() | fee_types,
    multiplier_ppm=st.none() | ppm,
    from_ns=microseconds,
    id=words,
    series=tickers,
)
ladders = st.dictionaries(prices, st.integers(1, 10**12), max_size=6)
books = st.builds(
    Book,
    ticker=tickers,
    bids=ladders.map(lambda side: tuple(sorted(side.items(), reverse=True))),
    asks=ladders.map(lambda side: tuple(sorted(side.items()))),
)
prints = st.builds(
    Print,
    trade_id=uuids,
    ticker=tickers,
    price=scale,
    size=sizes,
    taker=sides,
    exch_ns=microseconds,
    is_block=st.booleans(),
)
bars = st.tuples(scale, scale, scale, scale)
candles = st.builds(
    Candle,
    end_ns=seconds,
    bid=bars,
    ask=bars,
    price=st.none() | bars,
    volume=sizes,
    open_interest=sizes,
    mean=st.none() | st.integers(0, 10**6),
    previous=st.none() | scale,
)
event_candles = st.builds(
    EventCandles, markets=st.dictionaries(tickers, tuples(candles, 2), max_size=2), end_ns=seconds
)
statuses = st.builds(
    ExchangeStatus,
    exchange_active=st.booleans(),
    trading_active=st.booleans(),
    transfers_active=st.none() | st.booleans(),
    resumes_ns=microseconds,
    shards=tuples(
        st.builds(
            ShardStatus,
            exchange_index=real_shards,
            exchange_active=st.booleans(),
            trading_active=st.booleans(),
            transfers_active=st.booleans(),
            description=words,
        )
    ),
)
hours = st.sampled_from(["00:00", "03:00", "05:00", "23:59"])
schedules = st.builds(
    Schedule,
    weeks=tuples(
        st.builds(
            Week,
            from_ns=some_microseconds,
            to_ns=some_microseconds,
            days=st.tuples(*[tuples(st.tuples(hours, hours), 2)] * 7),
        )
    ),
    maintenance=tuples(st.tuples(microseconds, microseconds)),
)
buckets = st.builds(Bucket, refill_rate=counts, capacity=counts)
account_limits = st.builds(
    AccountLimits,
    tier=st.sampled_from(["basic", "prime"]),
    read=buckets,
    write=buckets,
    grants=tuples(
        st.builds(
            Grant,
            level=words,
            source=words,
            instance=st.sampled_from(["event_contract", "margined"]),
            expires_ns=st.none() | seconds,
        )
    ),
)
endpoint_costs = st.builds(
    EndpointCosts,
    default=counts,
    costs=st.dictionaries(
        st.tuples(
            st.sampled_from(["GET", "POST", "DELETE"]),
            st.sampled_from(["/portfolio/events/orders", "/portfolio/events/orders/{order_id}/amend"]),
        ),
        counts,
    ),
)

envelopes = {"sid": st.integers(1, 9), "seq": st.integers(0, 10**9), "sent_ns": milliseconds}
fill_messages = st.builds(
    FillMessage,
    trade_id=uuids,
    order_id=uuids,
    client_order_id=words,
    ticker=tickers,
    side=sides,
    price=scale,
    size=sizes,
    is_taker=st.booleans(),
    fee=signed_money,
    position=signed_sizes,
    exch_ns=milliseconds,
    subaccount=subaccounts,
    exchange_index=real_shards,
    **envelopes,
)
order_messages = st.builds(
    OrderMessage,
    order=orders.map(
        lambda order: msgspec.structs.replace(
            order,
            cancel_on_pause=False,  # not said here, as a missing self-trade word; times are in milliseconds
            created_ns=order.created_ns // MILLISECOND * MILLISECOND,
            updated_ns=order.updated_ns // MILLISECOND * MILLISECOND,
            expires_ns=order.expires_ns // MILLISECOND * MILLISECOND,
        )
    ),
    reason=st.sampled_from(["", "Trade", "Decrease", "PostOnlyCrossCancel"]),
    **envelopes,
)
position_messages = st.builds(
    PositionMessage,
    ticker=tickers,
    position=signed_sizes,
    cost=signed_money,
    realized=signed_money,
    fees=signed_money,
    position_fees=signed_money,
    volume=sizes,
    user_id=uuids,
    subaccount=subaccounts,
    **envelopes,
)
group_messages = st.builds(
    GroupMessage,
    group=uuids,
    change=st.sampled_from(["created", "limit_updated", "triggered", "reset", "deleted"]),
    limit=st.none() | limits,
    exch_ns=milliseconds,
    **(envelopes | {"seq": st.integers(1, 10**9)}),
)
ticker_messages = st.builds(
    TickerMessage,
    ticker=tickers,
    price=st.none() | prices,
    bid=st.none() | prices,
    ask=st.none() | prices,
    bid_size=sizes,
    ask_size=sizes,
    last_size=sizes,
    volume=sizes,
    open_interest=sizes,
    dollar_volume=counts,
    dollar_open_interest=counts,
    exch_ns=milliseconds,
    market_id=uuids,
    **envelopes,
)
private_messages = st.one_of(fill_messages, order_messages, position_messages, group_messages, ticker_messages)

ids = st.integers(0, 10**9)
sids = st.integers(1, 99)
named = st.lists(tickers, min_size=1, max_size=3, unique=True).map(tuple)
commands = st.one_of(
    st.builds(
        Subscribe,
        id=ids,
        channels=st.lists(st.sampled_from(Channel), min_size=1, max_size=3, unique=True).map(tuple),
        tickers=named,
        use_yes_price=st.none() | st.booleans(),
        send_initial_snapshot=st.booleans(),
        skip_ticker_ack=st.booleans(),
        shard_factor=st.just(7),
        shard_key=st.none() | st.integers(0, 6),
    ),
    st.builds(
        Subscribe,
        id=ids,
        channels=st.just((Channel.TICKER,)),
        market_ids=st.lists(uuids, max_size=2, unique=True).map(tuple),
    ),
    st.builds(
        UpdateSubscription,
        id=ids,
        sid=sids,
        action=st.sampled_from(Action),
        tickers=named,
        send_initial_snapshot=st.booleans(),
    ),
    st.builds(Unsubscribe, id=ids, sids=st.lists(sids, min_size=1, max_size=3).map(tuple)),
    st.builds(ListSubscriptions, id=ids),
)

json_numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | json_numbers
    | st.text(max_size=6)
    | st.sampled_from(
        ["0.5600", "10.00", "-1.00", "NaN", "Infinity", "1e999999", "2026-10-02T06:31:29Z", "yes", "bid"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
