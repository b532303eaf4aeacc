"""One market step by step, in dollars and contracts, so that every figure can be checked by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.orders import CommandKind, OrderState
from kalshi_ray.core.tape import TAKER_BOUGHT, TAKER_SOLD, Kind, ViewPack
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, MICROS_PER_DOLLAR, Side
from kalshi_ray.env.market_env import Batch, MarketVectorEnv
from kalshi_ray.env.samplers import Chosen
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo, UnknownName, UsageError
from kalshi_ray.policy.protocol import Policy, PolicyState, decide, market_key


class Level(msgspec.Struct, frozen=True):
    """What stands at one price, less what we took of it."""

    cents: float
    contracts: float


class Resting(msgspec.Struct, frozen=True, kw_only=True):
    """One of our orders: what is left of it, and how much stands ahead, as we believe and as the exchange knows."""

    id: int
    side: str
    state: str
    cents: float
    contracts: float
    ahead: float
    ahead_at_exchange: float | None  # None where the exchange does not have it (yet, or any more)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A command of this decision. A cancel has neither price nor size."""

    kind: str  # create | amend | cancel
    order: int
    side: str
    cents: float | None
    contracts: float | None
    terms: str  # IOC | IOC reduce-only | post-only until …


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
    mark_cents: float  # what a YES of the position is worth: the bid if long, the ask if short
    equity_dollars: float
    orders: list[Resting]
    legal: list[int]
    action: int | None  # None where the policy quotes
    meaning: str
    refused: bool  # a masked action: nothing was sent
    sent: list[Sent]
    fills: list[Execution]  # heard until the next decision
    reward: float
    seconds: float  # until the next decision
    ended: str = ""  # settled | tape ended


def trace_market(
    pack: ViewPack,
    ticker: str,
    policy: Policy | Sequence[int],
    settings: EnvSettings,
    *,
    seed: int = 0,
    levels: int = 3,
    start: int | None = None,
    steps: int | None = None,
) -> Iterator[TraceStep]:
    """Play one market at full cost, from its update `start` on, for at most `steps` decisions.

    `policy` may be a list of action ids, which are played to its end. UnknownName for a ticker without a view,
    UsageError for a start outside it, NothingToDo where no decision is left.
    """
    if ticker not in pack.tickers:
        raise UnknownName("market", ticker, list(pack.tickers))
    view = pack.tickers.index(ticker)
    whole = msgspec.structs.replace(settings, start="whole", max_decisions=0)
    env = MarketVectorEnv(
        pack, whole, num_envs=1, seed=seed, sampler=Chosen((view, _first_row(pack, view, start))), log_fills=True
    )
    batch = env.new_batch()
    env.reset_into(batch)
    if not env.playing[0]:
        raise NothingToDo(f"{ticker} has no decision point")
    key = np.array([market_key(ticker)], np.uint64)
    if isinstance(policy, Policy):
        policy.reset(key, seed)
    else:
        steps = min(len(policy), len(policy) if steps is None else steps)
    tape, decision = _Prints(pack, view, int(env.rows["started_ns"][0])), 0
    while not (batch.terminated[0] or batch.truncated[0]) and decision != steps:
        seen = _seen(env, levels) | {"prints": tape.until(int(env.rows["now_ns"][0]))}
        seen |= {"decision": decision, "legal": np.flatnonzero(batch.mask[0]).tolist()}
        state = PolicyState(
            batch.observation, batch.mask, env.rows, np.array([decision]), key, whole.action_space, whole.observation
        )
        answer = decide(policy, state) if isinstance(policy, Policy) else np.array([policy[decision]])
        yield TraceStep(**seen, **_played(env, answer, batch))
        decision += 1


def _played(env: MarketVectorEnv, answer: NDArray[Any], batch: Batch) -> dict[str, Any]:
    """One step by an action id or a QUOTE record, and what came of it."""
    refused = int(env.rows["refused"][0])
    quoted = answer.dtype.names is not None
    action = None if quoted else int(answer[0])
    meaning = _quoted(answer[0]) if action is None else _words(env.actions.describe(action))
    if quoted:
        env.step_quotes_into(answer, batch)
    else:
        env.step_into(np.asarray(answer, np.int64), batch)
    return {
        "action": action,
        "meaning": meaning,
        "refused": int(env.rows["refused"][0]) > refused,
        "sent": [_sent(one) for one in env.rows[0]["commands"][: int(env.rows["command_count"][0])]],
        "fills": [_execution(fill) for fill in env.take_fills()],
        "reward": float(batch.reward[0]),
        "seconds": float(batch.elapsed[0]),
        "ended": "settled" if batch.terminated[0] else "tape ended" if batch.truncated[0] else "",
    }


def _first_row(pack: ViewPack, view: int, start: int | None) -> int:
    first, stop = int(pack.views["start"][view]), int(pack.views["stop"][view])
    if start is not None and not 0 <= start < stop - first:
        raise UsageError(
            f"start {start} is not an update of {pack.tickers[view]}, which has {stop - first:,} from 0 on"
        )
    return -1 if start is None else first + start


class _Prints:
    """The prints of one view in order of receipt."""

    def __init__(self, pack: ViewPack, view: int, since: int) -> None:
        row = pack.views[view]
        updates = pack.updates[row["start"] : row["stop"]]
        self._rows = updates[(updates["kind"] == Kind.TRADE) & (updates["recv_ns"] >= since)]
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


def _seen(env: MarketVectorEnv, levels: int) -> dict[str, Any]:
    """What the row knows at a decision; and of its orders, what the exchange knows."""
    trader: Any = env.rows[0]
    account, book = trader["account"], trader["book"]
    orders = zip(trader["orders"], env.venues[0]["orders"])
    return {
        "at": clock(int(trader["now_ns"])),
        "bids": _ladder(book, Side.BID, levels),
        "asks": _ladder(book, Side.ASK, levels),
        "cash_dollars": float(account["cash"]) / MICROS_PER_DOLLAR,
        "position": float(account["position"]) / CONTRACT,
        "mark_cents": float(trader["mark_bid"] if account["position"] >= 0 else trader["mark_ask"]) / CENT,
        "equity_dollars": float(trader["equity"]) / MICROS_PER_DOLLAR,
        "orders": [_resting(ours, theirs) for ours, theirs in orders if ours["state"] != OrderState.FREE],
    }


def _ladder(book: Any, side: Side, levels: int) -> list[Level]:
    count = int(book["levels"])
    shown: NDArray[np.int64] = np.maximum(book["recorded"][side][:count] - book["consumed"][side][:count], 0)
    ticks = np.flatnonzero(shown)
    best = ticks[::-1][:levels] if side == Side.BID else ticks[:levels]
    return [Level(float(book["prices"][tick]) / CENT, float(shown[tick]) / CONTRACT) for tick in best]


def _side(side: Any) -> str:
    return "bid" if side == Side.BID else "ask"


def _resting(order: Any, theirs: Any) -> Resting:
    stands = bool(theirs["live"]) and int(theirs["id"]) == int(order["id"])
    return Resting(
        id=int(order["id"]),
        side=_side(order["side"]),
        state=OrderState(int(order["state"])).name.lower(),
        cents=float(order["price"]) / CENT,
        contracts=float(order["size"] - order["filled"]) / CONTRACT,
        ahead=float(order["queue"]) / CONTRACT,
        ahead_at_exchange=float(theirs["queue"]) / CONTRACT if stands else None,
    )


def _sent(command: Any) -> Sent:
    kind = CommandKind(int(command["kind"]))
    cancel, taking = kind == CommandKind.CANCEL, int(command["expires_ns"]) == 0
    resting = "" if taking else f"post-only until {clock(int(command['expires_ns']))}"
    return Sent(
        kind=kind.name.lower(),
        order=int(command["id"]),
        side=_side(command["side"]),
        cents=None if cancel else float(command["price"]) / CENT,
        contracts=None if cancel else float(command["size"]) / CONTRACT,
        terms="" if cancel else resting or ("IOC reduce-only" if command["reduce_only"] else "IOC"),
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


def trace_lines(step: TraceStep) -> list[str]:
    """The step as plain text; the identity of its equity is spelt out."""
    value = f"{step.position:+,g} YES at {step.mark_cents:g}¢"
    if step.position < 0:
        value = f"{-step.position:,g} NO at {DOLLAR / CENT - step.mark_cents:g}¢"
    lines = [
        f"decision {step.decision}  {step.at}",
        f"  bids      {_levels(step.bids)}",
        f"  asks      {_levels(step.asks)}",
        *(f"  print     {p.contracts:,g} at {p.cents:g}¢, taker {p.taker}, received {p.at}" for p in step.prints),
        f"  holds     cash {step.cash_dollars:,.6f} + {value} = {step.equity_dollars:,.6f}",
        *(f"  order {o.id}   {_order_words(o)}" for o in step.orders),
        f"  legal     {ranges(step.legal)}",
        f"  decides   {step.meaning}{'' if step.action is None else f' (id {step.action})'}"
        f"{', refused' if step.refused else ''}",
        *(f"  sends     {_sent_words(s)}" for s in step.sent),
    ]
    for f in step.fills:
        role = "maker" if f.maker else "taker"
        lines.append(
            f"  fill      order {f.order} {f.side} {f.contracts:,g} at {f.cents:g}¢ as {role} at {f.at}, "
            f"fee {f.fee_dollars:.6f}: cash {f.cash_dollars:,.6f}, {f.position:+,g} YES"
        )
    lines.append(
        f"  reward    {step.reward:+.6f} after {step.seconds:.3f} s" + (f", {step.ended}" if step.ended else "")
    )
    return lines


def _levels(levels: list[Level]) -> str:
    return "  ".join(f"{level.contracts:,g} at {level.cents:g}¢" for level in levels) or "none"


def _order_words(order: Resting) -> str:
    ahead = f"we believe {order.ahead:,g} ahead"
    if order.ahead_at_exchange is not None:
        ahead += f", {order.ahead_at_exchange:,g} at the exchange"
    return f"{order.side} {order.contracts:,g} at {order.cents:g}¢, {order.state}, {ahead}"


def _sent_words(sent: Sent) -> str:
    what = "" if sent.cents is None else f": {sent.contracts:,g} at {sent.cents:g}¢, {sent.terms}"
    return f"{sent.kind} {sent.side} order {sent.order}{what}"


def ranges(ids: list[int]) -> str:
    """Ascending numbers with runs joined: 0-3, 7."""
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
