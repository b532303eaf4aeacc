"""The hand on the simulator: steps of the replay, pauses, results. Paths of our own, outside the exchange's surface.

GET  /simulator                          where the replay and the exchange stand
POST /simulator/step                     {"updates": 10} or {"seconds": 1.5}
POST /simulator/exchange                 {"trading": false} or {"active": false}; true resumes
POST /simulator/markets/{ticker}         {"status": "inactive"} or {"value": "1.0000"}
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote

import msgspec

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import KalshiRayError
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.replay import Replay
from kalshi_ray.exchange.simulator.rest_api_call import Response, refused
from kalshi_ray.wire.numbers import pips_of_text, time_text
from kalshi_ray.wire.refusals import refusal
from kalshi_ray.wire.trading import Refused

ROOT = "/simulator"


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    updates: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.updates < 0 or self.seconds < 0 or (self.updates > 0) == (self.seconds > 0):
            raise ValueError("either updates or seconds, above 0")


class _State(msgspec.Struct, forbid_unknown_fields=True):
    trading: bool | None = None
    active: bool | None = None


class _MarketState(msgspec.Struct, forbid_unknown_fields=True):
    status: Literal["active", "inactive", "closed", "disputed"] | None = None
    value: str | None = None

    def __post_init__(self) -> None:
        if (self.status is None) == (self.value is None):
            raise ValueError("either status or value")


def handle(exchange: Exchange, replay: Replay | None, method: str, path: str, body: bytes, now_ns: int) -> Response:
    """Do what the operator asks."""
    parts = [unquote(part) for part in path.removeprefix(ROOT).split("/") if part]
    try:
        match (method, parts):
            case ("GET", []):
                pass
            case ("POST", ["step"]):
                no = _step(exchange, replay, msgspec.json.decode(body, type=_Step), now_ns)
                if no:
                    return refused(no)
            case ("POST", ["exchange"]):
                _set_exchange(exchange, msgspec.json.decode(body, type=_State), now_ns)
            case ("POST", ["markets", ticker]):
                _set_market(exchange, ticker, msgspec.json.decode(body, type=_MarketState), now_ns)
            case _:
                return refused(refusal(404, "not_found"))
    except (msgspec.DecodeError, KalshiRayError) as problem:
        return refused(refusal(400, "bad_request", str(problem)))
    return Response(200, msgspec.json.encode(_told(exchange, replay)))


def _step(exchange: Exchange, replay: Replay | None, asked: _Step, now_ns: int) -> Refused | None:
    if replay is None or replay.pace is not None:
        return refusal(409, "not_stepped", "start the simulator with --step")
    replay.step(exchange, now_ns, updates=asked.updates, tape_ns=round(asked.seconds * SECOND))
    return None


def _set_exchange(exchange: Exchange, asked: _State, now_ns: int) -> None:
    if asked.active is False:
        exchange.pause_exchange(now_ns)
    elif asked.trading is False:
        exchange.pause_trading(now_ns)
    elif asked.active or asked.trading:
        exchange.resume_trading(now_ns)


def _set_market(exchange: Exchange, ticker: str, asked: _MarketState, now_ns: int) -> None:
    if asked.value is not None:
        exchange.settle_at(ticker, pips_of_text(asked.value, "value"), now_ns)
    elif asked.status is not None:
        exchange.set_status(ticker, Status[asked.status.upper()], now_ns)


def _told(exchange: Exchange, replay: Replay | None) -> dict[str, object]:
    """Where everything stands."""
    told: dict[str, object] = {
        "exchange_active": exchange.exchange_active,
        "trading_active": exchange.trading_active,
        "now": time_text(exchange.now_ns),
        "markets": {ticker: market.shown_status.name.lower() for ticker, market in exchange.markets_by_ticker.items()},
    }
    if replay is not None:
        told["replay"] = {
            "updates": replay.done,
            "skipped": replay.skipped,
            "tape_time": time_text(replay.tape_ns) if replay.tape_ns else None,
            "is_over": replay.is_over,
            "speed": replay.pace.speed if replay.pace else None,
        }
    return told
