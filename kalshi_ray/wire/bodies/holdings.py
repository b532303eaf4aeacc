"""Bodies of reads of what an account holds: positions, cash and settlements."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from kalshi_ray.core.units import CENT, MICROS_PER_CENT, SECOND
from kalshi_ray.wire.numbers import (
    NO_TIME,
    count_text,
    lots_of,
    micros_of,
    micros_text,
    money_text,
    scaled,
    time_or_none,
    time_text,
)
from kalshi_ray.wire.shapes import Shape, Unknown
from kalshi_ray.wire.trading import Balance, EventPosition, Page, Position, Positions, Settlement

Json = dict[str, Any]
ZERO = Decimal(0)


class _PositionBody(msgspec.Struct):
    ticker: str
    position_fp: Decimal
    total_traded_dollars: Decimal = ZERO
    market_exposure_dollars: Decimal = ZERO
    realized_pnl_dollars: Decimal = ZERO
    fees_paid_dollars: Decimal = ZERO
    last_updated_ts: str | None = None
    resting_orders_count: int = 0  # until 2026-06
    exchange_index: int = 0


class _EventBody(msgspec.Struct):
    event_ticker: str
    total_cost_dollars: Decimal = ZERO
    total_cost_shares_fp: Decimal = ZERO
    event_exposure_dollars: Decimal = ZERO
    realized_pnl_dollars: Decimal = ZERO
    fees_paid_dollars: Decimal = ZERO


class _PositionPage(msgspec.Struct):
    market_positions: list[_PositionBody] = []
    event_positions: list[_EventBody] = []
    cursor: str = ""


class _ShardBalance(msgspec.Struct):
    exchange_index: int
    balance: Decimal


class _BalanceBody(msgspec.Struct):
    balance: int  # cents
    portfolio_value: int
    updated_ts: int
    balance_dollars: Decimal | None = None
    balance_breakdown: list[_ShardBalance] = []


class _SettlementBody(msgspec.Struct):
    ticker: str
    event_ticker: str
    market_result: str
    yes_count_fp: Decimal
    no_count_fp: Decimal
    yes_total_cost_dollars: Decimal
    no_total_cost_dollars: Decimal
    revenue: int  # cents
    settled_time: str
    fee_cost: Decimal = ZERO
    value: Decimal | None = None  # cents a YES
    exchange_index: int = 0


class _SettlementPage(msgspec.Struct):
    settlements: list[_SettlementBody]
    cursor: str = ""


_position_page = Shape(_PositionPage)
_balance = Shape(_BalanceBody)
_settlement_page = Shape(_SettlementPage)


def read_positions(raw: bytes, unknown: Unknown = None) -> Positions:
    """A page of positions, by market and by event."""
    page = _position_page.read(raw, unknown)
    return Positions(
        markets=tuple(map(_position_of, page.market_positions)),
        events=tuple(map(_event_position_of, page.event_positions)),
        cursor=page.cursor,
    )


def write_positions(positions: Positions) -> bytes:
    """A page of positions, by market and by event."""
    markets = [_position_keys(one) for one in positions.markets]
    events = [_event_position_keys(one) for one in positions.events]
    return msgspec.json.encode({"market_positions": markets, "event_positions": events, "cursor": positions.cursor})


def read_balance(raw: bytes, unknown: Unknown = None) -> Balance:
    """Cash; whole cents where the exchange does not say it exactly."""
    body = _balance.read(raw, unknown)
    exact = body.balance_dollars
    return Balance(
        cash=body.balance * MICROS_PER_CENT if exact is None else micros_of(exact, "balance_dollars"),
        portfolio_value=body.portfolio_value * MICROS_PER_CENT,
        updated_ns=body.updated_ts * SECOND,
        by_shard=tuple((one.exchange_index, micros_of(one.balance, "balance")) for one in body.balance_breakdown),
    )


def write_balance(balance: Balance) -> bytes:
    """Cash: cents, cut off, and exactly."""
    body: Json = {
        "balance": _whole_cents(balance.cash),
        "balance_dollars": money_text(balance.cash),
        "portfolio_value": _whole_cents(balance.portfolio_value),
        "updated_ts": balance.updated_ns // SECOND,
        "balance_breakdown": [
            {"exchange_index": index, "balance": money_text(cash)} for index, cash in balance.by_shard
        ],
    }
    return msgspec.json.encode(body)


def read_settlements(raw: bytes, unknown: Unknown = None) -> Page[Settlement]:
    """A page of settlements."""
    page = _settlement_page.read(raw, unknown)
    return Page(tuple(map(_settlement_of, page.settlements)), page.cursor)


def write_settlements(page: Page[Settlement]) -> bytes:
    """A page of settlements."""
    items = [_settlement_keys(one) for one in page.items]
    return msgspec.json.encode({"settlements": items, "cursor": page.cursor})


def _position_of(body: _PositionBody) -> Position:
    return Position(
        ticker=body.ticker,
        position=lots_of(body.position_fp, "position_fp"),
        exposure=micros_of(body.market_exposure_dollars, "market_exposure_dollars"),
        traded=micros_of(body.total_traded_dollars, "total_traded_dollars"),
        realized=micros_of(body.realized_pnl_dollars, "realized_pnl_dollars"),
        fees=micros_of(body.fees_paid_dollars, "fees_paid_dollars"),
        updated_ns=time_or_none(body.last_updated_ts),
        exchange_index=body.exchange_index,
    )


def _position_keys(position: Position) -> Json:
    return {
        "ticker": position.ticker,
        "exchange_index": position.exchange_index,
        "position_fp": count_text(position.position),
        "market_exposure_dollars": micros_text(position.exposure),
        "total_traded_dollars": micros_text(position.traded),
        "realized_pnl_dollars": micros_text(position.realized),
        "fees_paid_dollars": micros_text(position.fees),
        "last_updated_ts": _time(position.updated_ns),
    }


def _event_position_of(body: _EventBody) -> EventPosition:
    return EventPosition(
        event=body.event_ticker,
        cost=micros_of(body.total_cost_dollars, "total_cost_dollars"),
        size=lots_of(body.total_cost_shares_fp, "total_cost_shares_fp"),
        exposure=micros_of(body.event_exposure_dollars, "event_exposure_dollars"),
        realized=micros_of(body.realized_pnl_dollars, "realized_pnl_dollars"),
        fees=micros_of(body.fees_paid_dollars, "fees_paid_dollars"),
    )


def _event_position_keys(position: EventPosition) -> Json:
    return {
        "event_ticker": position.event,
        "total_cost_dollars": micros_text(position.cost),
        "total_cost_shares_fp": count_text(position.size),
        "event_exposure_dollars": micros_text(position.exposure),
        "realized_pnl_dollars": micros_text(position.realized),
        "fees_paid_dollars": micros_text(position.fees),
    }


def _settlement_of(body: _SettlementBody) -> Settlement:
    return Settlement(
        ticker=body.ticker,
        event=body.event_ticker,
        result=body.market_result,
        yes_size=lots_of(body.yes_count_fp, "yes_count_fp"),
        no_size=lots_of(body.no_count_fp, "no_count_fp"),
        yes_cost=micros_of(body.yes_total_cost_dollars, "yes_total_cost_dollars"),
        no_cost=micros_of(body.no_total_cost_dollars, "no_total_cost_dollars"),
        revenue=body.revenue * MICROS_PER_CENT,
        value=None if body.value is None else scaled(body.value, 2, "value"),
        fee=micros_of(body.fee_cost, "fee_cost"),
        settled_ns=time_or_none(body.settled_time),
        exchange_index=body.exchange_index,
    )


def _settlement_keys(settlement: Settlement) -> Json:
    """Revenue and value are whole cents on the wire; what is below is cut off."""
    return {
        "ticker": settlement.ticker,
        "event_ticker": settlement.event,
        "exchange_index": settlement.exchange_index,
        "market_result": settlement.result,
        "yes_count_fp": count_text(settlement.yes_size),
        "no_count_fp": count_text(settlement.no_size),
        "yes_total_cost_dollars": micros_text(settlement.yes_cost),
        "no_total_cost_dollars": micros_text(settlement.no_cost),
        "revenue": _whole_cents(settlement.revenue),
        "value": None if settlement.value is None else settlement.value // CENT,
        "fee_cost": micros_text(settlement.fee),
        "settled_time": _time(settlement.settled_ns),
    }


def _whole_cents(money: int) -> int:
    cents = abs(money) // MICROS_PER_CENT
    return -cents if money < 0 else cents


def _time(time_ns: int) -> str:
    return time_text(time_ns) if time_ns else NO_TIME
