"""Every recorded body of the REST interface is read without a remainder and says the same when written again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import pytest

from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire import bodies
from kalshi_ray.wire.numbers import NO_TIME, time_of
from kalshi_ray.wire.shapes import Unknown
from tests.data.samples import recorded

FORTUNA = "ws_rest_fixtures_fortuna_demo"
OBSTACLE = "rest_fixtures_the-obstacle"

# Keys that are not sent again. The cents and whole contracts left the API on 2026-03-12; the others on the date given.
NOT_SENT = {
    *("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price", "previous_price", "previous_yes_bid"),
    *("previous_yes_ask", "notional_value", "liquidity", "volume", "volume_24h", "open_interest", "count", "yes_price"),
    *("no_price", "price_of_trade", "open", "high", "low", "close", "mean", "previous", "min", "max"),
    "yes",  # of an order book in cents
    "no",
    "tick_size",  # 2026-05-07
    "liquidity_dollars",  # 2026-10-01
    "fractional_trading_enabled",  # 2026-07-09
    "response_price_units",  # with the cents
    "expiration_time",  # deprecated: latest_expiration_time says it
    "subtitle",  # deprecated: yes_sub_title says it
    "milestones",  # of events; not read
}
Json = dict[str, Any]
_decoder = msgspec.json.Decoder(float_hook=Decimal)

CASES: list[tuple[str, str, Callable[[bytes, Unknown], Any], Callable[[Any], bytes]]] = [
    (FORTUNA, "exchange__status.json", bodies.read_status, bodies.write_status),
    (FORTUNA, "markets__high_temp.json", bodies.read_markets, bodies.write_markets),
    (FORTUNA, "markets__single.json", bodies.read_market, bodies.write_market),
    (FORTUNA, "markets__status_closed.json", bodies.read_markets, bodies.write_markets),
    (FORTUNA, "markets__status_settled.json", bodies.read_markets, bodies.write_markets),
    (FORTUNA, "orderbook__base.json", lambda raw, n: bodies.read_orderbook(raw, "A", n), bodies.write_orderbook),
    (FORTUNA, "trades__public_recorded.json", bodies.read_trades, bodies.write_trades),
    (OBSTACLE, "candlesticks_batch_response.json", bodies.read_candlesticks_of_many, bodies.write_candlesticks_of_many),
    (
        OBSTACLE,
        "series_candlesticks_response.json",
        bodies.read_candlesticks,
        lambda candles: bodies.write_candlesticks("KXELONMARS-99", candles),
    ),
    (
        OBSTACLE,
        "event_candlesticks_response.json",
        bodies.read_candlesticks_of_event,
        bodies.write_candlesticks_of_event,
    ),
    (OBSTACLE, "event_single_response.json", bodies.read_event, bodies.write_event),
    (OBSTACLE, "events_list_response.json", bodies.read_events, bodies.write_events),
    (OBSTACLE, "exchange_schedule_response.json", bodies.read_schedule, bodies.write_schedule),
    (OBSTACLE, "market_single_response.json", bodies.read_market, bodies.write_market),
    (OBSTACLE, "markets_list_response.json", bodies.read_markets, bodies.write_markets),
    (OBSTACLE, "series_list_response.json", bodies.read_series_list, bodies.write_series_list),
    (OBSTACLE, "series_single_response.json", bodies.read_series, bodies.write_series),
    (OBSTACLE, "trades_list_response.json", bodies.read_trades, bodies.write_trades),
]
# Pictures and sources of an event, which nothing here asks for; and an empty book, which has no form of today.
NOT_IN_TABLE = {"event_metadata_response.json", "orderbook_response.json"}


def body_of(folder: str, name: str) -> bytes:
    raw = recorded(folder, name).read_bytes()
    return bytes(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["response"]) if folder == OBSTACLE else raw


@pytest.mark.parametrize(("folder", "name", "read", "write"), CASES, ids=[case[1] for case in CASES])
def test_every_recorded_body_says_the_same_when_written_again(
    folder: str, name: str, read: Callable[[bytes, Unknown], Any], write: Callable[[Any], bytes]
) -> None:
    raw = body_of(folder, name)
    unknown: Counter[str] = Counter()
    value = read(raw, unknown)
    assert not unknown
    written = write(value)
    assert read(written, None) == value
    compared = _assert_the_same(_decoder.decode(raw), _decoder.decode(written), name)
    assert compared >= 2


def test_every_recorded_body_is_in_the_table() -> None:
    tested = {name for _, name, _, _ in CASES} | NOT_IN_TABLE
    for folder in (FORTUNA, OBSTACLE):
        files = {path.name for path in recorded(folder).glob("*.json") if not path.name.endswith(".meta.json")}
        assert files <= tested


def _assert_the_same(came: Any, written: Any, where: str) -> int:
    """Whether `written` says what `came`; the number of plain values compared."""
    if isinstance(came, dict):
        return sum(
            _assert_the_same(value, written.get(key), f"{where}.{key}")
            for key, value in came.items()
            if not (key in NOT_SENT or (key == "price" and not isinstance(value, dict)))
        )
    if isinstance(came, list) and (came or written):
        assert len(came) == len(written), where
        return sum(_assert_the_same(one, other, where) for one, other in zip(came, written))
    assert _meaning(came) == _meaning(written) or _is_no_quote(where, came), (where, came, written)
    return 1


def _is_no_quote(where: str, came: Any) -> bool:
    """A combo of 2026-01 said "0.0000" for an ask that was not there, and the NO side followed it."""
    empty = {"yes_ask_dollars": "0.0000", "previous_yes_ask_dollars": "0.0000", "no_bid_dollars": "1.0000"}
    return empty.get(where.rpartition(".")[2]) == came


def _meaning(value: Any) -> Any:
    """A number as such, a time in ns; nothing, however it is said, as None."""
    if value in (None, "", [], {}, False, NO_TIME):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        return value
    try:
        number = Decimal(value)
    except InvalidOperation:
        assert isinstance(value, str)
        try:
            return time_of(value)
        except WireError:
            return value
    return number


def test_a_combo_without_a_book_has_no_quotes() -> None:
    market = bodies.read_market(body_of(OBSTACLE, "market_single_response.json"))
    assert (market.bid, market.ask, market.last_price) == (None, None, None)
    assert len(market.legs) == 5 and market.legs[0].side == "yes"
    assert market.ranges == ((0, 10_000, 10),)
    empty = bodies.read_orderbook(body_of(OBSTACLE, "orderbook_response.json"), "A")
    assert (empty.bids, empty.asks) == ((), ())


def test_a_recorded_market_is_what_a_person_would_read() -> None:
    market = bodies.read_market(body_of(FORTUNA, "markets__single.json"))
    assert (market.bid, market.ask, market.bid_size, market.ask_size) == (4700, 5200, 300, 300)
    assert (market.status, market.volume, market.settlement_timer_s) == ("active", 200, 60)
    settled = bodies.read_markets(body_of(FORTUNA, "markets__status_settled.json")).items[0]
    assert (settled.result, settled.settlement_value, settled.status) == ("no", 0, "finalized")
    assert settled.settled_ns // SECOND == 1_781_156_315


def test_recorded_trades_have_a_taker_and_whole_contracts_count_as_such() -> None:
    page = bodies.read_trades(body_of(FORTUNA, "trades__public_recorded.json"))
    assert page.cursor and page.items[0].size == 777 and page.items[0].taker is Side.BID
    old = bodies.read_trades(body_of(OBSTACLE, "trades_list_response.json")).items[0]
    assert (old.price, old.size, old.taker) == (600, 100, Side.ASK)


# Captured from the demo exchange on 2026-06-11, with other ids: what an account reads.
CAPTURED: list[tuple[str, Callable[[bytes, Unknown], Any], Callable[[Any], bytes]]] = [
    (
        '{"average_fee_paid":"0.0175","average_fill_price":"0.5200","client_order_id":"my-1","fill_count":"1.00",'
        '"order_id":"O","remaining_count":"0.00","ts_ms":1781159370164}',
        bodies.read_placed,
        bodies.write_placed,
    ),
    ('{"order_id":"O","reduced_by":"1.00","ts_ms":1781159364112}', bodies.read_reduced, bodies.write_reduced),
    (
        '{"order":{"action":"buy","book_side":"bid","client_order_id":"my-1","created_time":'
        '"2026-06-11T06:29:20.866753Z","fill_count_fp":"0.00","initial_count_fp":"1.00","last_update_time":'
        '"2026-06-11T06:29:20.866753Z","maker_fees_dollars":"0.000000","maker_fill_cost_dollars":"0.000000",'
        '"no_price_dollars":"0.9900","order_id":"O","outcome_side":"yes","remaining_count_fp":"1.00",'
        '"self_trade_prevention_type":"taker_at_cross","side":"yes","status":"resting","subaccount_number":0,'
        '"taker_fees_dollars":"0.000000","taker_fill_cost_dollars":"0.000000","ticker":"KXA-26-T1","type":"limit",'
        '"user_id":"U","yes_price_dollars":"0.0100"}}',
        bodies.read_order,
        bodies.write_order,
    ),
    (
        '{"cursor":"","fills":[{"action":"buy","book_side":"bid","count_fp":"1.00","created_time":'
        '"2026-06-11T06:29:30.164956Z","fee_cost":"0.017500","fill_id":"T","is_taker":true,"market_ticker":'
        '"KXA-26-T1","no_price_dollars":"0.4800","order_id":"O","outcome_side":"yes","side":"yes",'
        '"subaccount_number":0,"ticker":"KXA-26-T1","trade_id":"T","ts":1781159370,"yes_price_dollars":"0.5200"}]}',
        bodies.read_fills,
        bodies.write_fills,
    ),
    (
        '{"cursor":"","event_positions":[{"event_exposure_dollars":"2.500000","event_ticker":"KXA-26",'
        '"fees_paid_dollars":"0.018900","realized_pnl_dollars":"0.000000","total_cost_dollars":"2.500000",'
        '"total_cost_shares_fp":"3.00"}],"market_positions":[{"fees_paid_dollars":"0.018900","last_updated_ts":'
        '"2026-06-11T06:29:30.165032Z","market_exposure_dollars":"2.500000","position_fp":"3.00",'
        '"realized_pnl_dollars":"0.000000","resting_orders_count":0,"ticker":"KXA-26-T1",'
        '"total_traded_dollars":"2.500000"}]}',
        bodies.read_positions,
        bodies.write_positions,
    ),
    (
        '{"balance":9801,"balance_breakdown":[{"balance":"98.0186","exchange_index":0}],"balance_dollars":"98.0186",'
        '"portfolio_value":198,"updated_ts":1781159348}',
        bodies.read_balance,
        bodies.write_balance,
    ),
    (
        '{"grants":[],"read":{"bucket_capacity":200,"refill_rate":200},"usage_tier":"basic","write":'
        '{"bucket_capacity":100,"refill_rate":100}}',
        bodies.read_limits,
        bodies.write_limits,
    ),
    (
        '{"default_cost":10,"endpoint_costs":[{"cost":2,"method":"DELETE","path":'
        '"/trade-api/v2/portfolio/events/orders/:order_id"},{"cost":2,"method":"DELETE","path":'
        '"/trade-api/v2/portfolio/events/orders/batched"}]}',
        bodies.read_endpoint_costs,
        bodies.write_endpoint_costs,
    ),
]


@pytest.mark.parametrize(("raw", "read", "write"), CAPTURED, ids=[read.__name__ for _, read, _ in CAPTURED])
def test_captured_answers_are_written_with_the_very_text_that_came(
    raw: str, read: Callable[[bytes, Unknown], Any], write: Callable[[Any], bytes]
) -> None:
    unknown: Counter[str] = Counter()
    written = msgspec.json.decode(write(read(raw.encode(), unknown)))
    assert not unknown
    _assert_verbatim(msgspec.json.decode(raw), written)


def _assert_verbatim(came: Any, written: Any) -> None:
    if isinstance(came, dict):
        for key, value in came.items():
            if key != "resting_orders_count":  # left the API
                _assert_verbatim(value, written[key])
    elif isinstance(came, list):
        assert len(came) == len(written)
        for one, other in zip(came, written):
            _assert_verbatim(one, other)
    else:
        assert came == written
