"""The simulator over loopback, met by clients that share no code with it: httpx and websockets."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from kalshi_ray.core.units import CENT, CONTRACT, Side
from kalshi_ray.exchange import sim_server
from kalshi_ray.exchange.simulator.faults import FaultPlan, Faults
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.replay import Pace, Replay
from kalshi_ray.exchange.simulator.stream_settings import StreamSettings
from tests.exchange.simulator.foreign import BASE, SOCKET, Foreigner, order_body
from tests.exchange.simulator.serving import A, Served, make_surface, serving

ORDERS = "/portfolio/events/orders"


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(make_surface(time.time_ns())) as found:
        yield found


class Caller:
    """httpx with the signature of one key."""

    def __init__(self, served: Served, who: Foreigner) -> None:
        self._http, self._who = httpx.Client(base_url=served.rest, timeout=10), who

    def __call__(self, method: str, path: str, **asked: Any) -> httpx.Response:
        return self._http.request(method, path, headers=self._who.headers(method, BASE + path), **asked)


def dial(served: Served, who: Foreigner) -> ClientConnection:
    return connect(served.stream, additional_headers=who.headers("GET", SOCKET), compression=None)


def subscribe(socket: ClientConnection, **params: Any) -> list[dict[str, Any]]:
    """Subscribe and return the acknowledgements."""
    socket.send(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
    return [heard(socket) for _ in params["channels"]]


def heard(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(socket.recv(timeout=10))


def test_an_order_is_placed_seen_cancelled_and_gone(served: Served) -> None:
    call = Caller(served, served.first)
    made = call("POST", ORDERS, json=order_body(A, client_order_id="mine"))
    assert made.status_code == 201
    order_id = made.json()["order_id"]
    assert made.json()["fill_count"] == "0.00" and made.json()["remaining_count"] == "10.00"
    assert call("GET", f"/portfolio/orders/{order_id}").json()["order"]["status"] == "resting"
    book = call("GET", f"/markets/{A}/orderbook").json()["orderbook_fp"]
    assert book == {"yes_dollars": [["0.4000", "10.00"], ["0.4500", "3.00"], ["0.4600", "12.00"]],
                    "no_dollars": [["0.5200", "5.00"]]}  # fmt: skip
    cancelled = call("DELETE", f"{ORDERS}/{order_id}", params={"market_ticker": A})
    assert cancelled.status_code == 200 and cancelled.json()["reduced_by"] == "10.00"
    again = call("DELETE", f"{ORDERS}/{order_id}", params={"market_ticker": A})
    assert again.status_code == 404 and again.json()["error"]["code"] == "not_found"


def test_two_accounts_trade_and_both_channels_and_reads_say_the_same(served: Served) -> None:
    maker, taker = Caller(served, served.first), Caller(served, served.second)
    with dial(served, served.first) as socket:
        subscribe(socket, channels=["fill", "user_orders", "market_positions"])
        maker("POST", ORDERS, json=order_body(A, price="0.4700", client_order_id="rests"))
        taken = taker(
            "POST", ORDERS, json=order_body(A, side="ask", price="0.4700", count="4", client_order_id="takes")
        )
        assert taken.json()["fill_count"] == "4.00" and taken.json()["average_fill_price"] == "0.4700"
        frames = [heard(socket) for _ in range(4)]
    kinds = [frame["type"] for frame in frames]
    assert sorted(kinds) == ["fill", "market_position", "user_order", "user_order"]
    fill = frames[kinds.index("fill")]["msg"]
    listed = maker("GET", "/portfolio/fills").json()["fills"]
    assert [fill["trade_id"]] == [one["trade_id"] for one in listed]
    assert fill["client_order_id"] == "rests" and not fill["is_taker"] and fill["count_fp"] == "4.00"
    held = maker("GET", "/portfolio/positions").json()["market_positions"]
    assert [(one["ticker"], one["position_fp"]) for one in held] == [(A, "4.00")]
    theirs = taker("GET", "/portfolio/positions").json()["market_positions"]
    assert [(one["ticker"], one["position_fp"]) for one in theirs] == [(A, "-4.00")]


@pytest.mark.parametrize(("use_yes_price", "shown"), [(True, "0.4800"), (False, "0.5200")])
def test_a_book_is_a_snapshot_and_then_its_changes(served: Served, use_yes_price: bool, shown: str) -> None:
    with dial(served, served.first) as socket:
        acks = subscribe(socket, channels=["orderbook_delta"], market_tickers=[A], use_yes_price=use_yes_price)
        assert acks == [{"type": "subscribed", "id": 1, "sending_ts_ms": acks[0]["sending_ts_ms"],
                         "msg": {"channel": "orderbook_delta", "sid": 1}}]  # fmt: skip
        snapshot = heard(socket)
        assert (snapshot["sid"], snapshot["seq"]) == (1, 1)
        assert snapshot["msg"]["yes_dollars_fp"] == [["0.4500", "3.00"], ["0.4600", "12.00"]]
        assert snapshot["msg"]["no_dollars_fp"] == [[shown, "5.00"]]
        Caller(served, served.second)("POST", ORDERS, json=order_body(A, price="0.4400", count="2"))
        delta = heard(socket)
        assert (delta["type"], delta["sid"], delta["seq"]) == ("orderbook_delta", 1, 2)
        said = {key: delta["msg"][key] for key in ("market_ticker", "side", "price_dollars", "delta_fp")}
        assert said == {"market_ticker": A, "side": "yes", "price_dollars": "0.4400", "delta_fp": "2.00"}
        assert "client_order_id" not in delta["msg"]


def test_only_the_owner_reads_its_name_on_a_change_of_the_book(served: Served) -> None:
    with dial(served, served.first) as own, dial(served, served.second) as other:
        for socket in (own, other):
            subscribe(socket, channels=["orderbook_delta"], market_tickers=[A], use_yes_price=True)
            heard(socket)
        Caller(served, served.first)("POST", ORDERS, json=order_body(A, client_order_id="secret"))
        assert heard(own)["msg"]["client_order_id"] == "secret"
        assert "client_order_id" not in heard(other)["msg"]


@pytest.mark.parametrize("path", [SOCKET, BASE + "/markets"])
def test_a_handshake_that_is_not_signed_for_its_path_is_refused_with_401(served: Served, path: str) -> None:
    headers = {} if path == SOCKET else served.first.headers("GET", path)
    with pytest.raises(InvalidStatus) as refused:
        connect(served.stream, additional_headers=headers)
    assert refused.value.response.status_code == 401


def test_market_data_needs_no_signature(served: Served) -> None:
    for path in ("/markets", f"/markets/{A}", f"/markets/{A}/orderbook", "/events", "/series", "/exchange/status"):
        assert httpx.get(served.rest + path).status_code == 200, path


def test_many_requests_go_over_one_connection_and_many_connections_at_once(served: Served) -> None:
    call = Caller(served, served.first)
    for _ in range(50):
        assert call("GET", "/portfolio/balance").status_code == 200
    others = [Caller(served, served.second) for _ in range(20)]
    assert all(other("GET", "/portfolio/balance").status_code == 200 for other in others)


def raw(served: Served, sent: bytes) -> bytes:
    """What comes back for these bytes, after which nothing is sent any more, until the server closes."""
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=60) as line:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := line.recv(65_536):
            found += chunk
        return found


def test_nonsense_gets_400_and_disturbs_nobody(served: Served) -> None:
    for sent in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000):
        assert raw(served, sent).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")), sent[:20]
    assert httpx.get(served.rest + "/exchange/status").status_code == 200


def test_requests_behind_each_other_on_one_line_are_answered_in_order(served: Served) -> None:
    one = b"GET /trade-api/v2/%b HTTP/1.1\r\nhost: x\r\n\r\n"
    found = raw(served, one % b"exchange/status" + one % b"markets/NO" + one % b"series")
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"404", b"200"]


def test_a_body_that_is_too_large_is_refused(served: Served) -> None:
    path = BASE + ORDERS
    answer = httpx.post(served.rest + ORDERS, content=b" " * 9_000_000, headers=served.first.headers("POST", path))
    assert answer.status_code == 413


def test_a_frame_above_the_bound_ends_that_connection_alone(served: Served) -> None:
    with dial(served, served.first) as large, dial(served, served.second) as other:
        with pytest.raises(ConnectionClosed) as closed:
            large.send("x" * (64 * 1024 * 1024 + 1))
            large.recv(timeout=20)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        assert subscribe(other, channels=["trade"])[0]["type"] == "subscribed"


def test_a_message_in_fragments_is_one_command_and_nonsense_is_answered(served: Served) -> None:
    with dial(served, served.first) as line:
        line.send(iter(['{"id":3,"cmd":', '"list_subscriptions"}']))
        assert heard(line)["id"] == 3
        line.send(b"\xff\xfe")
        assert heard(line)["msg"]["code"] == 1


def test_a_heartbeat_comes_as_a_ping(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=10) as line:
        headers = served.first.headers("GET", SOCKET) | {
            "Host": "x", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }  # fmt: skip
        lines = [f"GET {SOCKET} HTTP/1.1", *(f"{name}: {word}" for name, word in headers.items()), "", ""]
        line.sendall("\r\n".join(lines).encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 101")
        loop = served.server._loop
        assert loop is not None
        loop.call_soon_threadsafe(served.server._beat)
        assert line.recv(4096) == b"\x89\x09heartbeat"


def test_a_connection_that_faults_cut_ends_without_a_close_frame() -> None:
    surface = make_surface(time.time_ns(), faults=Faults(FaultPlan(disconnect=1.0)))
    with serving(surface) as served, dial(served, served.first) as line:
        line.send(json.dumps({"id": 1, "cmd": "list_subscriptions"}))
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=10)
        assert closed.value.rcvd is None


def test_a_reader_that_stops_reading_is_told_so_and_no_memory_grows() -> None:
    """Frames that the socket does not take wait in the session; beyond its bound the subscription ends with code 25."""
    flow = [
        (at * 1_000, FlowDelta(ticker=A, side=Side.BID, price=(10 + at % 20) * CENT, change=CONTRACT))
        for at in range(60_000)
    ]
    surface = make_surface(time.time_ns(), stream=StreamSettings(buffered_frames=2_000))
    with serving(surface) as served, dial(served, served.first) as line:
        subscribe(line, channels=["orderbook_delta"], market_tickers=[A], use_yes_price=True)
        surface.replay = Replay(flow, Pace(0, time.time_ns(), 1))
        assert served.server._loop is not None
        served.server._loop.call_soon_threadsafe(served.server.pump)
        frames = []
        while not frames or frames[-1]["type"] != "error":
            if not frames:
                _wait_until(lambda: surface.replay is not None and surface.replay.is_over)
            frames.append(heard(line))
        assert frames[-1]["msg"]["code"] == 25
        numbers = [frame["seq"] for frame in frames]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) < 60_000


def test_a_client_that_does_not_read_its_answers_does_not_keep_the_server_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was said last is waited for a moment, and no longer."""
    monkeypatch.setattr(sim_server, "LINGER_S", 0.1)
    with socket.socket() as deaf, serving(make_surface(time.time_ns())) as served:
        deaf.connect(("127.0.0.1", served.server.port))
        deaf.setblocking(False)
        asked = f"GET {BASE}/markets HTTP/1.1\r\nhost: x\r\n\r\n".encode() * 100

        def is_full() -> bool:
            with suppress(BlockingIOError):
                deaf.send(asked)
            return any(one._transport.get_write_buffer_size() for one in served.server.connections)

        _wait_until(is_full)
    assert not served.server.connections


def _wait_until(done: Any) -> None:
    until = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_time_passes_by_itself_an_order_expires(served: Served) -> None:
    with dial(served, served.first) as line:
        subscribe(line, channels=["user_orders"])
        call, status, expires = Caller(served, served.first), 0, 0
        while status != 201:  # one that comes after its time is refused
            expires = int(time.time()) + 2
            status = call("POST", ORDERS, json=order_body(A, expiration_time=expires)).status_code
        assert heard(line)["msg"]["status"] == "resting"
        told = heard(line)["msg"]
        assert (told["status"], told["last_update_reason"]) == ("canceled", "ExpiryCancel")
        assert time.time() >= expires - 0.01
