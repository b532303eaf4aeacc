"""`kalshi-ray exchange`: every command against a server on loopback, what it sends, shows, asks and refuses."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from kalshi_ray.cli.app import run
from kalshi_ray.core.units import Side
from kalshi_ray.exchange.settings import ReadyAccount, ReadyFile
from kalshi_ray.wire import bodies
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.listing import Book, Market
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, Subscribed, Trade
from kalshi_ray.wire.refusals import write_error
from kalshi_ray.wire.trading import (
    AccountFill,
    Balance,
    Order,
    OrderRequest,
    OrderStatus,
    Page,
    Placed,
    Position,
    Positions,
    Reduced,
    Refused,
    TimeInForce,
)
from tests.exchange.keys import KEY_ID, ed25519_key, pem_of
from tests.exchange.loopback import Asked, Says, in_a_thread

T1 = "KXA-26-T1"
MADE = 1_790_922_689_000_000_000
MARKET = Market(ticker=T1, event="KXA-26", status="active", bid=4_600, ask=5_300, last_price=4_800, title="Will it?")
ORDER = Order(
    order_id="o-1",
    client_order_id="mine",
    ticker=T1,
    side=Side.BID,
    price=5_600,
    status=OrderStatus.RESTING,
    size=1_000,
    filled=100,
    remaining=900,
    created_ns=MADE,
    exchange_index=2,
)


@dataclass
class Desk:
    """An exchange that answers from fixed values and keeps what it was asked."""

    asked: list[Asked] = field(default_factory=list)
    says: dict[str, Says] = field(default_factory=dict)  # instead, by "METHOD path"

    def __call__(self, asked: Asked) -> Says:
        self.asked.append(asked)
        name = f"{asked.method} {asked.path}"
        return self.says.get(name) or Says(body=self.known()[name])

    def known(self) -> dict[str, bytes]:
        fill = AccountFill(
            trade_id="t-1", order_id="o-1", ticker=T1, side=Side.ASK, price=5_200, size=100, is_taker=True,
            fee=17_500, exch_ns=MADE,
        )  # fmt: skip
        placed = Placed(order_id="o-2", client_order_id="mine", filled=100, remaining=900, average_price=520_000)
        reduced = Reduced(order_id="o-1", client_order_id="mine", reduced_by=900)
        held = (Position(ticker=T1, position=-1_050, exposure=5_000_000), Position(ticker="KXB", position=0))
        return {
            "GET /markets": bodies.write_markets(Page((MARKET,))),
            f"GET /markets/{T1}": bodies.write_market(MARKET),
            f"GET /markets/{T1}/orderbook": bodies.write_orderbook(
                Book(ticker=T1, bids=((4_700, 300), (4_600, 1_250)), asks=((5_200, 300),))
            ),
            "GET /portfolio/orders": bodies.write_orders(Page((ORDER,))),
            "GET /portfolio/orders/o-1": bodies.write_order(ORDER),
            "GET /portfolio/fills": bodies.write_fills(Page((fill,))),
            "GET /portfolio/positions": bodies.write_positions(Positions(markets=held)),
            "GET /portfolio/balance": bodies.write_balance(Balance(cash=98_018_600, portfolio_value=0, updated_ns=0)),
            "POST /portfolio/events/orders": bodies.write_placed(placed),
            "DELETE /portfolio/events/orders/o-1": bodies.write_reduced(reduced),
            "DELETE /portfolio/events/orders": b"",
        }

    def sent(self) -> OrderRequest:
        return bodies.read_order_request(next(one.body for one in self.asked if one.method == "POST"))

    @property
    def writes(self) -> list[str]:
        return [f"{one.method} {one.target}" for one in self.asked if one.method != "GET"]


@contextmanager
def streaming() -> Iterator[str]:
    """A WebSocket that answers a subscription with a book, a change and a print."""
    codec = Codec(use_yes_price=True)

    async def talk(socket: ServerConnection) -> None:
        sid = 0
        async for text in socket:
            command = json.loads(text)
            if command["cmd"] != "subscribe":
                continue
            for channel in command["params"]["channels"]:
                sid += 1
                await socket.send(codec.encode(Subscribed(sid=sid, id=command["id"], channel=channel)), text=True)
                for ticker in command["params"]["market_tickers"]:
                    frames = (
                        [BookSnapshot(sid=sid, seq=1, ticker=ticker, bids=((4_700, 300),), asks=((5_200, 100),)),
                         BookDelta(sid=sid, seq=2, ticker=ticker, side=Side.BID, price=4_700, change=-200)]
                        if channel == "orderbook_delta"
                        else [Trade(sid=sid, seq=1, ticker=ticker, price=4_700, size=200, taker=Side.ASK)]
                    )  # fmt: skip
                    for frame in frames:
                        await socket.send(codec.encode(frame), text=True)

    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[int] = []

    async def whole() -> None:
        async with serve(talk, "127.0.0.1", 0) as server:
            found.append(next(iter(server.sockets)).getsockname()[1])
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(whole(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield f"ws://127.0.0.1:{found[0]}/trade-api/ws/v2"
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A simulator whose ready file lies where it is looked for."""
    monkeypatch.chdir(tmp_path)
    Path("key.pem").write_bytes(pem_of(ed25519_key()))
    Path("key.pem").chmod(0o600)
    made = Desk()
    with in_a_thread(made) as rest, streaming() as stream:
        ready = ReadyFile(rest=rest, ws=stream, accounts=(ReadyAccount(KEY_ID, "key.pem"),))
        Path("simulator.json").write_bytes(msgspec.json.encode(ready))
        yield made


def out(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert run(["exchange", *words]) == code
    return capsys.readouterr().out


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(out(capsys, *words, "--json"))


def test_markets(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    shown = out(capsys, "markets", "--series", "KXA", "--limit", "5")
    assert "0.4600" in shown and "Will it?" in shown and f"Next: kalshi-ray exchange watch {T1}" in shown
    assert desk.asked[0].target.endswith("/markets?series_ticker=KXA&status=open&limit=5")
    assert answer(capsys, "markets", "--status", "any")["markets"][0]["ask"] == "0.5300"
    assert "status" not in desk.asked[-1].target


def test_a_book_is_a_ladder_with_the_highest_price_first(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    levels = answer(capsys, "book", T1)["levels"]
    assert [level["price"] for level in levels] == ["0.5200", "0.4700", "0.4600"]
    assert [level["ask count"] for level in levels] == ["3.00", "", ""]
    assert len(answer(capsys, "book", T1, "--depth", "1")["levels"]) == 2
    assert "12.50" in out(capsys, "book", T1)


@pytest.mark.parametrize(
    ("leg", "side", "price"),
    [
        (("buy", "yes"), Side.BID, 5_600),
        (("sell", "yes"), Side.ASK, 5_600),
        (("buy", "no"), Side.ASK, 4_400),
        (("sell", "no"), Side.BID, 4_400),
    ],
)
def test_every_leg_becomes_a_side_and_a_price_on_the_yes_scale(
    leg: tuple[str, str], side: Side, price: int, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = out(capsys, "order", T1, *leg, "10", "0.56", "--yes")
    assert "order o-2: 1.00 filled at $0.5200, 9.00 resting" in shown and "exchange cancel o-2" in shown
    sent = desk.sent()
    assert (sent.side, sent.price, sent.size, sent.ticker) == (side, price, 1_000, T1)


def test_the_options_of_an_order_are_sent(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--tif", "gtc", "--post-only", "--expires-in", "60", "--client-order-id", "my-7", "--yes")
    assert answer(capsys, "order", T1, "buy", "yes", "0.05", "0.5650", *words)["order"] == "o-2"
    sent = desk.sent()
    assert (sent.size, sent.price, sent.post_only, sent.client_order_id) == (5, 5_650, True, "my-7")
    assert sent.time_in_force is TimeInForce.GTC and sent.expires_ns % 1_000_000_000 == 0 < sent.expires_ns


def test_an_order_asks_first_and_a_no_sends_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for said, code, told in (
        ("n\n", 1, "nothing was sent\n"),
        ("", 2, "[y/N]:\nerror: nobody answered: nothing was sent. Add --yes to send it\n"),
        ("y\n", 0, "[y/N]:"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        assert run(["exchange", "order", T1, "buy", "yes", "10", "0.56"]) == code
        err = capsys.readouterr().err
        assert err.startswith(f"buy 10 YES of {T1} at $0.56, $5.6000 in all before fees, on the simulator? [y/N]:")
        assert err.endswith(told)
        assert len(desk.writes) == (code == 0)


def test_ctrl_c_where_somebody_is_asked_sends_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(io.StringIO):
        def readline(self, *_: object) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Interrupted())
    assert run(["exchange", "cancel", "--all"]) == 130
    assert capsys.readouterr().err.endswith("[y/N]:\nstopped\n")
    assert desk.writes == []


@pytest.mark.parametrize(
    ("count", "price", "said"),
    [
        ("10", "56", "price 56 is not below $1. It is in dollars for one contract, such as 0.56"),
        ("10", "1", "price 1 is not below $1"),
        ("10", "0", "price 0 is not above 0"),
        ("10", "0.12345", "price '0.12345' is not a number with at most 4 decimals"),
        ("0", "0.56", "count 0 is not above 0"),
        ("1.005", "0.56", "count '1.005' is not a number with at most 2 decimals"),
        ("nan", "0.56", "count 'nan' is not a number"),
    ],
)
def test_a_price_or_a_count_that_cannot_be_is_never_sent(
    count: str, price: str, said: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    for outcome in ("yes", "no"):
        assert run(["exchange", "order", T1, "buy", outcome, count, price, "--yes"]) == 2
        assert said in capsys.readouterr().err
    assert desk.asked == []


def test_columns_for_people_have_their_units(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert "bid ($)" in out(capsys, "markets") and "closes (UTC)" in out(capsys, "markets")
    assert "cash ($)" in out(capsys, "balance") and "fee ($)" in out(capsys, "fills")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("order", T1, "buy", "yes", "10", "0.56"), "--json asks nothing. Add --yes"),
        (("cancel", "--all"), "--json asks nothing"),
    ],
)
def test_json_never_asks(words: tuple[str, ...], said: str, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["exchange", *words, "--json"]) == 2
    assert said in capsys.readouterr().err and not desk.writes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("order", T1, "buy", "yes", "1.001", "0.56", "--yes"),
            "count '1.001' is not a number with at most 2 decimals",
        ),
        (("order", T1, "buy", "yes", "0", "0.56", "--yes"), "count 0 is not above 0"),
        (("order", T1, "buy", "yes", "10", "half", "--yes"), "price 'half' is not a number"),
        (("order", T1, "buy", "yes", "10", "NaN", "--yes"), "price 'NaN' is not a number"),
        (("order", T1, "buy", "yes", "10", "0.56", "--again", "--yes"), "--again needs the --client-order-id"),
        (("cancel",), "name orders or give --all"),
        (("cancel", "o-1", "--all"), "name orders or give --all"),
        (("order", T1, "buy", "maybe", "10", "0.56"), ""),
        (("markets", "--environment", "live"), "ALLOW_LIVE=yes"),
        (("order", T1, "buy", "yes", "10", "0.56", "--yes", "--environment", "live"), "ALLOW_LIVE=yes"),
        (("balance", "--ready-file", "gone.json"), "kalshi-ray simulate --ready-file gone.json"),
    ],
)
def test_wrong_use_is_one_line_and_sends_nothing(
    words: tuple[str, ...], said: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["exchange", *words]) == 2
    assert said in capsys.readouterr().err and not desk.asked


def test_what_the_exchange_refuses_is_one_line(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    refused = Refused(status=400, code="invalid_price", message="invalid price")
    desk.says["POST /portfolio/events/orders"] = Says(400, write_error(refused))
    assert run(["exchange", "order", T1, "buy", "yes", "10", "0.555", "--yes"]) == 1
    streams = capsys.readouterr()
    assert streams.out == "" and streams.err.count("\n") == 1 and "invalid_price (HTTP 400)" in streams.err


def test_an_order_whose_outcome_is_unknown_says_how_to_find_out(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.says["POST /portfolio/events/orders"] = Says(500)
    words = ["exchange", "order", T1, "buy", "yes", "10", "0.56", "--yes", "--exchange.lookup_s", "0.2"]
    assert run([*words, "--client-order-id", "lost-1"]) == 1
    err = capsys.readouterr().err
    assert "--client-order-id lost-1 --again" in err and "may have been placed or not" in err
    refused = Refused(status=409, code="order_already_exists", message="order already exists")
    desk.says["POST /portfolio/events/orders"] = Says(409, write_error(refused))
    assert run([*words, "--client-order-id", "mine", "--again"]) == 0  # it stands among the orders
    assert "order o-1: 1.00 filled, 9.00 resting" in capsys.readouterr().out


def test_a_cancel_names_the_market_and_the_shard_of_its_order(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert "order o-1: 9.00 contracts cancelled" in out(capsys, "cancel", "o-1")
    assert desk.writes[0].endswith(f"/o-1?market_ticker={T1}&exchange_index=2")
    assert answer(capsys, "cancel", "o-1")["orders"] == [
        {"order": "o-1", "client_order_id": "mine", "cancelled": "9.00"}
    ]


def test_cancelling_everything_is_asked_for(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert "every order is cancelled" in out(capsys, "cancel", "--all", "--yes")
    assert desk.writes == ["DELETE /trade-api/v2/portfolio/events/orders"]


def test_orders_fills_positions_and_balance(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (order,) = answer(capsys, "orders", "--status", "resting", "--ticker", T1)["orders"]
    assert (order["side"], order["price"], order["remaining"], order["status"]) == ("bid", "0.5600", "9.00", "resting")
    assert f"ticker={T1}&status=resting" in desk.asked[-1].target
    (fill,) = answer(capsys, "fills")["fills"]
    assert (fill["side"], fill["price"], fill["fee"], fill["role"]) == ("ask", "0.5200", "0.0175", "taker")
    (position,) = answer(capsys, "positions")["positions"]
    assert (position["ticker"], position["position"], position["exposure"]) == (T1, "-10.50", "5.0000")
    assert answer(capsys, "balance") == {"cash": "98.0186", "positions": "0.0000"}
    for words in (("orders",), ("fills",), ("positions",), ("balance",)):
        assert "(local)" in out(capsys, *words)


def test_nothing_is_said_as_nothing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.says["GET /portfolio/orders"] = Says(body=bodies.write_orders(Page()))
    assert out(capsys, "orders") == "Orders (local): none\n"
    assert answer(capsys, "orders") == {"orders": []}


def test_watch_draws_the_ladder(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    shown = out(capsys, "watch", T1, "--duration", "0.6")
    assert T1 in shown and "0.5200" in shown and "█" in shown and "last trade 2.00 at 0.4700" in shown


def test_watch_writes_a_line_for_each_change(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in out(capsys, "watch", T1, "--duration", "0.6", "--json").splitlines()]
    last = lines[-1]
    assert (last["ticker"], last["known"], last["bids"], last["asks"]) == (
        T1, True, [["0.4700", "1.00"]], [["0.5200", "1.00"]],
    )  # fmt: skip
    assert last["last_trade"] == ["0.4700", "2.00"]


def test_watch_refuses_a_market_that_is_not_there(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.says["GET /markets/NOPE"] = Says(404, write_error(Refused(status=404, code="not_found", message="not found")))
    assert run(["exchange", "watch", "NOPE"]) == 1
    assert "GET /markets/NOPE with not_found" in capsys.readouterr().err


def test_what_is_public_needs_no_key(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    ready = msgspec.json.decode(Path("simulator.json").read_bytes(), type=ReadyFile)
    Path("simulator.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(ready, accounts=())))
    assert answer(capsys, "book", T1)["levels"]
    assert "kalshi-access-key" not in desk.asked[-1].headers
    for words in (("order", T1, "buy", "yes", "1", "0.50", "--yes"), ("watch", T1)):
        assert run(["exchange", *words]) in (1, 2)
        assert "needs a key" in capsys.readouterr().err
    assert not desk.writes
