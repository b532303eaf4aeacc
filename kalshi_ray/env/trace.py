"""One market step by step, in dollars and contracts, so that every figure can be checked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.orders import OrderState
from kalshi_ray.core.tape import TAKER_BOUGHT, TAKER_SOLD, Kind, ViewPack
from kalshi_ray.core.units import CENT, CONTRACT, MICROS_PER_DOLLAR, Side
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import UnknownName
from kalshi_ray.policy.protocol import Policy, PolicyState, decide, market_key


class Level(msgspec.Struct, frozen=True):
    """What stands at one price, less what we took of it."""

    cents: float
    contracts: float


class Resting(msgspec.Struct, frozen=True, kw_only=True):
    """One of our orders: what is left of it, and what we believe stands ahead."""

    id: int
    side: str
    state: str
    cents: float
    contracts: float
    ahead: float


class Print(msgspec.Struct, frozen=True, kw_only=True):
    """A public trade since the last decision."""

    at: str
    cents: float
    contracts: float
    taker: str


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """A fill of ours: cash and position are those right after it."""

    order: int
    at: str  # on the exchange
    side: str
    cents: float
    contracts: float
    fee_dollars: float
    maker: bool
    position: float
    cash_dollars: float


class TraceStep(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: what was seen and allowed, what was decided, and what came of it until the next one."""

    decision: int
    at: str
    bids: list[Level]  # the best ones first
    asks: list[Level]
    prints: list[Print]
    cash_dollars: float
    position: float  # contracts, YES positive
    equity_dollars: float
    orders: list[Resting]
    legal: list[int]
    action: int | None  # None where the policy quotes
    meaning: str
    fills: list[Execution]
    reward: float
    ended: str = ""  # settled | tape ended


def trace_market(
    pack: ViewPack, ticker: str, policy: Policy, settings: EnvSettings, *, seed: int = 0, levels: int = 3
) -> Iterator[TraceStep]:
    """Play `policy` through one market from its start, at full cost. UnknownName for a ticker without a view."""
    if ticker not in pack.tickers:
        raise UnknownName("market", ticker, list(pack.tickers))
    view = pack.tickers.index(ticker)
    whole = msgspec.structs.replace(settings, start="whole", max_decisions=0)
    env = MarketVectorEnv(pack, whole, num_envs=1, seed=seed, views=np.array([view], np.int32), log_fills=True)
    key = np.array([market_key(ticker)], np.uint64)
    policy.reset(key, seed)
    batch = env.new_batch()
    env.reset_into(batch)
    tape = _Prints(pack, view)
    decision = 0
    while not (batch.terminated[0] or batch.truncated[0]):
        state = PolicyState(
            batch.observation, batch.mask, env.rows, np.array([decision]), key, whole.action_space, whole.observation
        )
        seen = _seen(env.rows[0], levels) | {"prints": tape.until(int(env.rows["now_ns"][0]))}
        legal = np.flatnonzero(batch.mask[0]).tolist()
        answer = decide(policy, state)
        if policy.needs == "actions":
            action, meaning = int(answer[0]), _words(env.actions.describe(int(answer[0])))
            env.step_into(np.asarray(answer, np.int64), batch)
        else:
            action, meaning = None, _quoted(answer[0])
            env.step_quotes_into(answer, batch)
        fills = [_execution(fill) for fill in env.take_fills()]
        ended = "settled" if batch.terminated[0] else "tape ended" if batch.truncated[0] else ""
        yield TraceStep(
            decision=decision,
            legal=legal,
            action=action,
            meaning=meaning,
            fills=fills,
            reward=float(batch.reward[0]),
            ended=ended,
            **seen,
        )
        decision += 1


class _Prints:
    """The prints of one view in order of receipt."""

    def __init__(self, pack: ViewPack, view: int) -> None:
        row = pack.views[view]
        updates = pack.updates[row["start"] : row["stop"]]
        self._rows = updates[updates["kind"] == Kind.TRADE]
        self._axis = pack.axes[row["axis"]]
        self._next = 0

    def until(self, now: int) -> list[Print]:
        """Those that were received up to now and not handed out yet."""
        stop = int(np.searchsorted(self._rows["recv_ns"], now, side="right"))
        fresh, self._next = self._rows[self._next : stop], max(stop, self._next)
        return [self._print(row) for row in fresh if row["tick"] >= 0]

    def _print(self, row: np.void) -> Print:
        taker = "bought" if row["flags"] & TAKER_BOUGHT else "sold" if row["flags"] & TAKER_SOLD else "unknown"
        cents = float(self._axis[row["tick"]]) / CENT
        return Print(at=clock(int(row["recv_ns"])), cents=cents, contracts=float(row["size"]) / CONTRACT, taker=taker)


def _seen(trader: Any, levels: int) -> dict[str, Any]:
    """What the row knows at a decision."""
    account, book = trader["account"], trader["book"]
    return {
        "at": clock(int(trader["now_ns"])),
        "bids": _ladder(book, Side.BID, levels),
        "asks": _ladder(book, Side.ASK, levels),
        "cash_dollars": float(account["cash"]) / MICROS_PER_DOLLAR,
        "position": float(account["position"]) / CONTRACT,
        "equity_dollars": float(trader["equity"]) / MICROS_PER_DOLLAR,
        "orders": [_resting(order) for order in trader["orders"] if order["state"] != OrderState.FREE],
    }


def _ladder(book: Any, side: Side, levels: int) -> list[Level]:
    count = int(book["levels"])
    shown: NDArray[np.int64] = np.maximum(book["recorded"][side][:count] - book["consumed"][side][:count], 0)
    ticks = np.flatnonzero(shown)
    best = ticks[::-1][:levels] if side == Side.BID else ticks[:levels]
    return [Level(float(book["prices"][tick]) / CENT, float(shown[tick]) / CONTRACT) for tick in best]


def _resting(order: Any) -> Resting:
    return Resting(
        id=int(order["id"]),
        side="bid" if order["side"] == Side.BID else "ask",
        state=OrderState(int(order["state"])).name.lower(),
        cents=float(order["price"]) / CENT,
        contracts=float(order["size"] - order["filled"]) / CONTRACT,
        ahead=float(order["queue"]) / CONTRACT,
    )


def _execution(fill: Any) -> Execution:
    return Execution(
        order=int(fill["order_id"]),
        at=clock(int(fill["venue_ns"])),
        side="bought YES" if fill["side"] > 0 else "sold YES",
        cents=float(fill["price"]) / CENT,
        contracts=float(fill["size"]) / CONTRACT,
        fee_dollars=float(fill["fee"]) / MICROS_PER_DOLLAR,
        maker=bool(fill["maker"]),
        position=float(fill["position"]) / CONTRACT,
        cash_dollars=float(fill["cash"]) / MICROS_PER_DOLLAR,
    )


def _words(described: dict[str, Any]) -> str:
    if described["intent"] == "HOLD":
        return "HOLD"
    return f"{described['intent']} {described['contracts']:g} {str(described['pricing']).lower()}"


def _quoted(quote: Any) -> str:
    sides = [
        f"{name} {quote[f'{name}_size'] / CONTRACT:g} at {quote[f'{name}_price'] / CENT:g}¢"
        for name in ("bid", "ask")
        if quote[f"{name}_size"] > 0
    ]
    return "wants " + (" and ".join(sides) or "nothing")


def clock(ns: int) -> str:
    """UTC time of day to the millisecond, with the date."""
    return datetime.fromtimestamp(ns // 1_000_000 / 1_000, UTC).isoformat(sep=" ", timespec="milliseconds")[:-6]
