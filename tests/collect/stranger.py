"""An exchange that shares nothing with ours: books by dictionaries, frames by hand, everything odd that is allowed.

Each frame of a book says in its `market_id` which version of the book it makes, and each print its number: what was
recorded can be compared with what was, change by change.
"""

from __future__ import annotations

import asyncio
import http
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

API = "/trade-api/v2"
DOLLAR = 10_000
BROKEN: tuple[str | bytes, ...] = (
    "", "{", "[]", "null", b"\xff\xfe\x00", '{"type":5}', '{"sid":1}', '{"type":"orderbook_delta","sid":1e400}',
    "[" * 2_000, '{"type":"ok","id":123456789012345678901234567890}', '{"type":"error","msg":{"code":5,"msg":"?"}}',
    '{"type":"ok"}',
    '{"type":"subscribed","msg":{"channel":"future","sid":999}}', '{"type":"heartbeat"}', '{"type":"news","msg":[1]}',
)  # fmt: skip
# What may go wrong with a step of the flow or with a frame, and at most how often.
MOST = {
    "gap": 0.01, "twice": 0.03, "swap": 0.03, "cut": 0.003, "odd": 0.03, "below": 0.002, "no price": 0.002,
    "dead": 0.001, "all dead": 0.0005, "unsubscribed": 0.001, "again": 0.005,
    "mute": 0.1, "late": 0.3, "refused": 0.1,
}  # fmt: skip
Key = tuple[int, int]  # side, pips
Book = dict[Key, int]


class Market:
    """One market: its book after each change, and its prints."""

    def __init__(self, ticker: str, step: int) -> None:
        self.ticker, self.step = ticker, step
        self.books: list[Book] = [{}]
        self.changes: list[tuple[Key, int]] = [((0, 0), 0)]  # that made each book
        self.prints: list[tuple[int, int, int]] = []  # price, size, taker

    def change(self, key: Key, lots: int) -> None:
        """A level changes."""
        book = self.books[-1] | {key: self.books[-1].get(key, 0) + lots}
        self.books.append({at: left for at, left in book.items() if left})
        self.changes.append((key, lots))

    def chosen(self, chance: random.Random) -> tuple[Key, int]:
        """A change that leaves bids below asks."""
        book, side = self.books[-1], chance.randrange(2)
        if book and chance.random() < 0.45:
            key = chance.choice(list(book))
            return key, -book[key] if chance.random() < 0.6 else -chance.randrange(1, book[key] + 1)
        bids, asks = ([price for at, price in book if at == each] for each in (0, 1))
        least = max(bids, default=DOLLAR // 2) + self.step if side else self.step
        most = DOLLAR - self.step if side else min(asks, default=DOLLAR // 2) - self.step
        if least > most:
            return self.chosen(chance)
        return (side, chance.randrange(least, most + 1, self.step)), chance.randrange(1, 50_000)


class Subscription:
    """A channel on a connection."""

    def __init__(self, channel: str, sid: int, tickers: list[str], seq: int) -> None:
        self.channel, self.sid, self.tickers, self.seq = channel, sid, dict.fromkeys(tickers), seq
        self.held: list[str] = []  # sent behind the next


class Wire:
    """A connection; `out` are the frames on their way."""

    def __init__(self, socket: ServerConnection, first_sid: int) -> None:
        self.socket, self.sid = socket, first_sid
        self.subscriptions: dict[int, Subscription] = {}
        self.out: asyncio.Queue[str | bytes] = asyncio.Queue()


class Stranger:
    """Serves in a thread while the block runs. Once `is_over`, all that was wrong has come right."""

    def __init__(self, seed: int, tickers: tuple[str, ...], steps: int) -> None:
        self.chance = chance = random.Random(seed)
        self.markets = {ticker: Market(ticker, chance.choice((100, 10, 1))) for ticker in tickers}
        self.odds = {what: chance.choice((0.0, 0.3, 1.0)) * most for what, most in MOST.items()}
        self.is_over, self._is_calm, self._steps = False, False, steps
        self._first = chance.choice((0, 0, 41, 10**12)), chance.choice((0, 6, 10**5))  # numbers, sids
        self._wires: list[Wire] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="stranger")
        self._heard: set[str] = set()  # markets whose book somebody has; the flow begins with the last
        self._ready, self._end = threading.Event(), threading.Event()
        self.port = self._ms = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(10)

    @property
    def has_told(self) -> bool:
        """Whether nothing waits to be sent."""
        return all(wire.out.empty() for wire in list(self._wires))

    # -- what happens

    async def _serve(self) -> None:
        async with serve(self._talk, "127.0.0.1", 0, process_request=self._answer, compression=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            for market in self.markets.values():
                for _ in range(self.chance.choice((0, 5, 30))):
                    market.change(*market.chosen(self.chance))
            self._ready.set()
            while not self._heard.issuperset(self.markets) and not self._end.is_set():
                await asyncio.sleep(0.01)
            for _ in range(self._steps):
                self._flow()
                self._trouble()
                await asyncio.sleep(self.chance.choice((0, 0.002)))
            self._is_calm = True
            for number in range(100_000):
                if self._end.is_set():
                    return
                if number < 90:  # so that each loss is found
                    self._flow()
                self.is_over = number > 100
                await asyncio.sleep(0.02)

    def _happens(self, what: str) -> bool:
        return not self._is_calm and self.chance.random() < self.odds[what]

    def _flow(self) -> None:
        market = self.chance.choice(list(self.markets.values()))
        if self.chance.random() < 0.2:
            market.prints.append((self.chance.randrange(1, 100) * 100, self.chance.randrange(1, 90_000), 1))
            for wire, one in self._on("trade", market):
                self._number(wire, one, self._print(market))
            return
        key, lots = market.chosen(self.chance)
        market.change(key, lots)
        for wire, one in self._on("orderbook_delta", market):
            self._number(wire, one, self._delta(market, key, lots, f"v{len(market.books) - 1}"))

    def _trouble(self) -> None:
        for wire in list(self._wires):
            if self._happens("odd"):
                wire.out.put_nowait(self.chance.choice(BROKEN))
            for what in ("below", "no price", "again"):
                books = [one for one in wire.subscriptions.values() if one.channel == "orderbook_delta" and one.tickers]
                if books and self._happens(what):
                    self._nonsense(wire, books[0], what)
            one = self.chance.choice([*wire.subscriptions.values(), None])
            error = {"type": "error", "msg": {"code": self.chance.choice((10, 25)), "msg": "over"}}
            if one and self._happens("dead"):
                self._number(wire, one, error)
                del wire.subscriptions[one.sid]
            elif one and self._happens("unsubscribed"):
                self._number(wire, one, {"type": "unsubscribed"})
                del wire.subscriptions[one.sid]
            elif self._happens("all dead"):
                wire.out.put_nowait(json.dumps(error))
                wire.subscriptions.clear()
            elif self._happens("cut"):
                self._wires.remove(wire)
                wire.socket.transport.abort()

    def _nonsense(self, wire: Wire, one: Subscription, what: str) -> None:
        market = self.markets[self.chance.choice(list(one.tickers))]
        if what == "again":
            self._snapshot(wire, one, market)
            return
        key = self.chance.choice([*market.books[-1], (0, 100)])
        frame = self._delta(market, key, -(10**7) if what == "below" else 5, "none")
        if what == "no price":
            frame["msg"]["price_dollars"] = self.chance.choice(("1.0000", "0.0000", "0.12345", "1.5", "x", None))
        self._number(wire, one, frame)

    # -- frames

    def _digits(self, number: int, decimals: int) -> Any:
        """A number as text, in any form that says the same."""
        text = f"{'-' if number < 0 else ''}{abs(number) // 10**decimals}.{abs(number) % 10**decimals:0{decimals}d}"
        luck = self.chance.random()
        if luck < 0.2:
            return text.rstrip("0") + ("0" if text.rstrip("0").endswith(".") else "")
        return text + "00" if luck < 0.25 else text

    def _stamped(self, body: dict[str, Any]) -> dict[str, Any]:
        self._ms = max(self._ms + 1, time.time_ns() // 10**6)
        told = {"ts_ms": self._ms}, {"ts_ms": self._ms, "ts": self._ms // 1_000}, {}, {"ts_ms": self._ms * 7}
        return body | self.chance.choices(told, (5, 5, 1, 1))[0]

    def _delta(self, market: Market, key: Key, lots: int, version: str) -> dict[str, Any]:
        body = {"market_ticker": market.ticker, "market_id": version, "side": ("yes", "no")[key[0]]}
        body |= {"price_dollars": self._digits(key[1], 4), "delta_fp": self._digits(lots, 2)}
        body |= {"client_order_id": "own"} if self.chance.random() < 0.03 else {}
        return {"type": "orderbook_delta", "msg": self._stamped(body)}

    def _print(self, market: Market) -> dict[str, Any]:
        price, size, _ = market.prints[-1]
        body = {"trade_id": f"t{len(market.prints) - 1}", "market_ticker": market.ticker, "taker_outcome_side": "no"}
        which = self.chance.choice((("yes_price_dollars", price), ("no_price_dollars", DOLLAR - price)))
        body |= {which[0]: self._digits(which[1], 4), "count_fp": self._digits(size, 2)}
        return {"type": "trade", "msg": self._stamped(body)}

    def _snapshot(self, wire: Wire, one: Subscription, market: Market) -> None:
        self._heard.add(market.ticker)
        body: dict[str, Any] = {"market_ticker": market.ticker, "market_id": f"v{len(market.books) - 1}"}
        for side, name in enumerate(("yes_dollars_fp", "no_dollars_fp")):
            levels = [(price, size) for (at, price), size in market.books[-1].items() if at == side]
            self.chance.choice((self.chance.shuffle, list.sort))(levels)
            if levels or self.chance.random() < 0.3:
                body[name] = [[self._digits(price, 4), self._digits(size, 2)] for price, size in levels]
        self._number(wire, one, {"type": "orderbook_snapshot", "msg": body})

    def _number(self, wire: Wire, one: Subscription, frame: dict[str, Any]) -> None:
        """Send a frame of a subscription, with what the exchange adds without notice; or lose it on the way."""
        one.seq += 1
        frame |= {"sid": one.sid, "seq": one.seq}
        if self.chance.random() < 0.1:
            frame["novel"] = {"a": [1, None, {"b": '\u00e4"\\'}]}
        if self.chance.random() < 0.1 and isinstance(frame.get("msg"), dict):
            frame["msg"]["flavour"] = self.chance.choice((None, 3.5, [], "vanilla"))
        text = json.dumps(frame, ensure_ascii=self.chance.random() < 0.9)
        if self._happens("gap"):
            return
        if self._happens("swap") and not one.held:
            one.held = [text]
            return
        for each in (text, *one.held, *([text] if self._happens("twice") else [])):
            wire.out.put_nowait(each.encode() if self.chance.random() < 0.03 else each)
        one.held = []

    def _on(self, channel: str, market: Market) -> Iterator[tuple[Wire, Subscription]]:
        for wire in self._wires:
            for one in list(wire.subscriptions.values()):
                if one.channel == channel and market.ticker in one.tickers:
                    yield wire, one

    # -- what it is told

    async def _talk(self, socket: ServerConnection) -> None:
        wire = Wire(socket, self._first[1])
        self._wires.append(wire)

        async def pump() -> None:
            while True:
                await socket.send(await wire.out.get())

        pumping = asyncio.create_task(pump())
        with suppress(ConnectionClosed):
            async for raw in socket:
                self._obey(wire, json.loads(raw))
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)
        if wire in self._wires:
            self._wires.remove(wire)

    def _obey(self, wire: Wire, command: dict[str, Any]) -> None:
        if self._happens("mute"):
            return
        if self._happens("refused"):
            refusal = {"code": self.chance.choice((18, 27)), "msg": "later"}
            wire.out.put_nowait(json.dumps({"type": "error", "id": command["id"], "msg": refusal}))
            if self.chance.random() < 0.7:  # or it was carried out all the same
                return
        of = {"subscribe": self._subscribe, "update_subscription": self._update, "unsubscribe": self._unsubscribe}
        of.get(command["cmd"], self._list)(wire, command["id"], command.get("params", {}))

    def _later(self, work: Callable[[], None]) -> None:
        if self._happens("late"):
            asyncio.get_running_loop().call_later(self.chance.choice((0.05, 0.3, 1.0)), work)
        else:
            work()

    def _subscribe(self, wire: Wire, id: int, told: dict[str, Any]) -> None:
        (channel,), tickers = told["channels"], told.get("market_tickers", [])
        one = next((one for one in wire.subscriptions.values() if one.channel == channel), None)
        if one is None:
            wire.sid += 1
            one = wire.subscriptions[wire.sid] = Subscription(channel, wire.sid, [], self._first[0])
        fresh = [ticker for ticker in tickers if ticker not in one.tickers]
        one.tickers.update(dict.fromkeys(fresh))
        answer = {"type": "subscribed", "id": id, "msg": {"channel": channel, "sid": one.sid}}
        self._later(lambda: wire.out.put_nowait(json.dumps(answer)))
        for ticker in fresh if channel == "orderbook_delta" else ():
            self._snapshot(wire, one, self.markets[ticker])

    def _update(self, wire: Wire, id: int, told: dict[str, Any]) -> None:
        one = wire.subscriptions.get(told["sid"] if "sid" in told else told["sids"][0])
        if one is None:
            wire.out.put_nowait(json.dumps({"type": "error", "id": id, "msg": {"code": 7, "msg": "Unknown sid"}}))
            return
        action, tickers = told["action"], [ticker for ticker in told["market_tickers"] if ticker in self.markets]
        if action == "delete_markets":
            for ticker in tickers:
                one.tickers.pop(ticker, None)
        fresh = [ticker for ticker in tickers if (ticker in one.tickers) == (action == "get_snapshot")]
        if action == "add_markets":
            one.tickers.update(dict.fromkeys(fresh))
        for ticker in fresh if one.channel == "orderbook_delta" and action != "delete_markets" else ():
            self._snapshot(wire, one, self.markets[ticker])
        if action != "get_snapshot":
            self._later(lambda: self._number(wire, one, {"type": "ok", "id": id}))

    def _unsubscribe(self, wire: Wire, id: int, told: dict[str, Any]) -> None:
        for sid in told["sids"]:
            if (one := wire.subscriptions.pop(sid, None)) is not None:
                self._number(wire, one, {"type": "unsubscribed", "id": id})
        if not wire.subscriptions and self.chance.random() < 0.5:
            wire.sid = self._first[1]  # numbers are given again

    def _list(self, wire: Wire, id: int, told: dict[str, Any]) -> None:
        listed = [{"channel": one.channel, "sid": one.sid} for one in wire.subscriptions.values()]
        wire.out.put_nowait(json.dumps({"type": "ok", "id": id, "msg": listed}))

    # -- REST

    def _answer(self, socket: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        if url.path.endswith("/ws/v2"):
            return None
        if self._wires and self._happens("refused"):
            return socket.respond(http.HTTPStatus(self.chance.choice((429, 500, 503))), "no")
        kind, _, name = url.path.removeprefix(f"{API}/").partition("/")
        names = parse_qs(url.query).get("tickers", [name])[0].split(",")
        listed = [self._listed(kind, each) for each in names]
        body = {kind: listed, "cursor": ""} if not name else {"series" if kind == "series" else kind[:-1]: listed[0]}
        return socket.respond(http.HTTPStatus.OK, json.dumps(body))

    def _listed(self, kind: str, name: str) -> dict[str, Any]:
        if kind == "series":
            return {"ticker": name, "title": "", "category": "", "fee_type": "quadratic", "fee_multiplier": 1}
        if kind == "events":
            return {"event_ticker": name, "series_ticker": name.partition("-")[0], "title": "", "category": ""}
        close = datetime.fromtimestamp(time.time() // 3_600 * 3_600 + 86_400, UTC).isoformat()
        grid = {"start": "0.0000", "end": "1.0000", "step": f"{self.markets[name].step / DOLLAR:.4f}"}
        fixed = {"status": "active", "market_type": "binary", "novel": {}, "open_time": "2026-01-01T00:00:00Z"}
        event = {"ticker": name, "event_ticker": name.rpartition("-")[0], "close_time": close, "price_ranges": [grid]}
        return event | fixed
