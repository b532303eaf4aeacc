"""The client over real sockets: nothing is placed twice, what was lost is looked up, keys show nowhere."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from kalshi_ray import telemetry
from kalshi_ray.core.units import Side
from kalshi_ray.errors import (
    AuthenticationFailed,
    ConfigError,
    ExchangeDown,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    UsageError,
    WireError,
)
from kalshi_ray.exchange.client import ExchangeClient, key_of, opened
from kalshi_ray.exchange.settings import Address, ExchangeSettings, ReadyAccount, ReadyFile
from kalshi_ray.exchange.sign import KEY_HEADER, SIGNATURE_HEADER, TIME_HEADER
from kalshi_ray.exchange.throttle import PUBLISHED_COSTS
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.listing import AccountLimits, Bucket
from kalshi_ray.wire.refusals import write_error
from kalshi_ray.wire.trading import (
    Amendment,
    Balance,
    Cancel,
    Decrease,
    Order,
    OrderRequest,
    OrderStatus,
    Page,
    Placed,
    Reduced,
    Refused,
    TimeInForce,
)
from tests.exchange.keys import KEY_ID, ed25519_key, pem_of, signer
from tests.exchange.loopback import BASE, Asked, Says, settings, talked

ORDERS = "/portfolio/events/orders"
ORDER = OrderRequest(ticker="KXA", client_order_id="mine", side=Side.BID, size=100, price=5_000)
BALANCE = bodies.write_balance(Balance(cash=1_000_000, portfolio_value=0, updated_ns=0))
NOT_FOUND = Refused(status=404, code="not_found", message="not found")


def no(refused: Refused) -> Says:
    return Says(refused.status, write_error(refused))


@dataclass
class Venue:
    """An exchange of one market that loses answers as told. It refuses a client_order_id it has seen."""

    lose: list[Says] = field(default_factory=list)  # instead of the answers to the first writes
    drops: bool = False  # a lost write is not carried out either
    lag: int = 0  # how many reads of orders still know nothing
    orders: dict[str, Order] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, asked: Asked) -> Says:
        name = f"{asked.method} {asked.path}"
        self.asked[name] += 1
        if asked.method == "GET":
            return self._read(asked)
        lost = self.lose.pop(0) if self.lose else None
        if lost is not None and self.drops:
            return lost
        says = self._write(asked)
        return says if lost is None else lost

    def _read(self, asked: Asked) -> Says:
        if self.lag:
            self.lag -= 1
            return Says(body=bodies.write_orders(Page())) if asked.path == "/portfolio/orders" else no(NOT_FOUND)
        if asked.path == "/portfolio/orders":
            return Says(body=bodies.write_orders(Page(tuple(self.orders.values()))))
        found = self.orders.get(asked.path.rpartition("/")[2])
        return no(NOT_FOUND) if found is None else Says(body=bodies.write_order(found))

    def _write(self, asked: Asked) -> Says:
        if asked.path == ORDERS and asked.method == "POST":
            placed = self._place(bodies.read_order_request(asked.body))
            return no(placed) if isinstance(placed, Refused) else Says(201, bodies.write_placed(placed))
        if asked.path == f"{ORDERS}/batched" and asked.method == "POST":
            wanted = [one for one in bodies.read_create_batch(asked.body) if isinstance(one, OrderRequest)]
            return Says(201, bodies.write_batch_placed([self._place(one) for one in wanted]))
        if asked.path == f"{ORDERS}/batched":
            wishes = bodies.read_cancel_batch(asked.body)
            answers = [(wish.order_id, self._cancel(wish.order_id)) for wish in wishes]
            return Says(200, bodies.write_batch_reduced(answers))  # type: ignore[arg-type]
        order_id, _, action = asked.path.removeprefix(f"{ORDERS}/").partition("/")
        if not action:
            reduced = self._cancel(order_id)
            return no(reduced) if isinstance(reduced, Refused) else Says(200, bodies.write_reduced(reduced))
        order = self.orders[order_id]
        if action == "amend":
            wish = bodies.read_amendment(asked.body, order_id)
            order = msgspec.structs.replace(order, price=wish.price, size=wish.size, remaining=wish.size)
            self.orders[order_id] = order
            return Says(200, bodies.write_amended(self._placed(order)))
        to = bodies.read_decrease(asked.body, order_id).to
        self.orders[order_id] = msgspec.structs.replace(order, remaining=to)
        return Says(200, bodies.write_reduced(Reduced(order_id=order_id, client_order_id="", remaining=to)))

    def _place(self, wish: OrderRequest) -> Placed | Refused:
        if any(order.client_order_id == wish.client_order_id for order in self.orders.values()):
            return Refused(status=409, code="order_already_exists", message="order already exists")
        order = Order(
            order_id=f"id-{len(self.orders)}",
            client_order_id=wish.client_order_id,
            ticker=wish.ticker,
            side=wish.side,
            price=wish.price,
            status=OrderStatus.RESTING,
            size=wish.size,
            filled=0,
            remaining=wish.size,
            created_ns=1_791_000_000_000_000_000,
        )
        self.orders[order.order_id] = order
        return self._placed(order)

    def _placed(self, order: Order) -> Placed:
        return Placed(
            order_id=order.order_id, client_order_id=order.client_order_id, filled=0, remaining=order.remaining
        )

    def _cancel(self, order_id: str) -> Reduced | Refused:
        order = self.orders.get(order_id)
        if order is None or order.status is not OrderStatus.RESTING:
            return NOT_FOUND
        self.orders[order_id] = msgspec.structs.replace(order, status=OrderStatus.CANCELED, remaining=0)
        return Reduced(order_id=order_id, client_order_id=order.client_order_id, reduced_by=order.remaining)


LOST = [Says(500), Says(503, b"<html>"), Says(hang_up=True), Says(silent=True), Says(201, b"not json")]
LOST_IDS = ["500", "503", "hang up", "silence", "unreadable"]
IN_VAIN_S = 0.5  # how long is looked for what never comes


def patience(lost: Says) -> dict[str, float]:
    """Silence is borne for a moment; whoever answers may be slow."""
    return {"timeout_s": IN_VAIN_S} if lost.silent else {}


@pytest.mark.parametrize("lost", LOST, ids=LOST_IDS)
def test_an_order_whose_answer_was_lost_is_found_and_was_sent_once(lost: Says) -> None:
    venue = Venue(lose=[lost], lag=1)
    placed = talked(venue, lambda client: client.place(ORDER), **patience(lost))
    assert isinstance(placed, Placed) and (placed.order_id, placed.remaining) == ("id-0", 100)
    assert venue.asked[f"POST {ORDERS}"] == 1 and len(venue.orders) == 1


@pytest.mark.parametrize("lost", LOST[:4], ids=LOST_IDS[:4])
def test_an_order_that_cannot_be_found_is_unknown_and_may_be_placed_again(lost: Says) -> None:
    venue = Venue(lose=[lost], drops=True)

    async def work(client: ExchangeClient) -> Placed:
        with pytest.raises(OutcomeUnknown, match="mine may have been placed or not") as caught:
            await client.place(ORDER)
        assert caught.value.client_order_ids == ("mine",)
        return await client.place(ORDER, again=True)

    assert isinstance(talked(venue, work, lookup_s=IN_VAIN_S, **patience(lost)), Placed)
    assert venue.asked[f"POST {ORDERS}"] == 2 and len(venue.orders) == 1


def test_an_order_placed_again_that_had_landed_is_returned_as_it_stands() -> None:
    venue = Venue()

    async def work(client: ExchangeClient) -> tuple[Placed, Placed]:
        return await client.place(ORDER), await client.place(ORDER, again=True)

    first, second = talked(venue, work)  # type: ignore[misc]
    assert first.order_id == second.order_id and len(venue.orders) == 1


def test_an_id_that_is_taken_is_refused_unless_the_same_order_was_sent_before() -> None:
    venue = Venue()
    other = msgspec.structs.replace(ORDER, price=4_000)
    killed = msgspec.structs.replace(ORDER, client_order_id="killed", time_in_force=TimeInForce.FOK)

    async def work(client: ExchangeClient) -> None:
        await client.place(ORDER)
        for order, again in ((ORDER, False), (other, True)):
            with pytest.raises(OrderRejected, match="order_already_exists"):
                await client.place(order, again=again)
        venue._place(killed)
        venue.lag = 100  # the order is never shown: a killed one leaves its id behind and no order
        with pytest.raises(OrderRejected, match="order_already_exists"):
            await client.place(killed, again=True)

    talked(venue, work, lookup_s=IN_VAIN_S)


def test_a_batch_whose_answer_was_lost_is_found_order_by_order() -> None:
    venue = Venue(lose=[Says(hang_up=True)])
    batch = [msgspec.structs.replace(ORDER, client_order_id=f"b{at}") for at in range(3)]
    placed = talked(venue, lambda client: client.place_batch(batch))
    assert [one.client_order_id for one in placed] == ["b0", "b1", "b2"]  # type: ignore[attr-defined]
    assert venue.asked[f"POST {ORDERS}/batched"] == 1


def test_each_order_of_a_batch_is_accepted_or_refused_for_itself() -> None:
    answers = talked(Venue(), lambda client: client.place_batch([ORDER, ORDER]))
    assert isinstance(answers[0], Placed) and isinstance(answers[1], Refused)  # type: ignore[index]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("lost", LOST, ids=LOST_IDS)
def test_a_cancel_is_sent_until_it_is_known_to_be_done(lost: Says, count: int) -> None:
    venue = Venue(lose=[lost] * count)
    venue._place(ORDER)
    reduced = talked(venue, lambda client: client.cancel(Cancel(order_id="id-0", ticker="KXA")), **patience(lost))
    assert isinstance(reduced, Reduced) and reduced.reduced_by == 100
    assert venue.orders["id-0"].status is OrderStatus.CANCELED
    assert venue.asked[f"DELETE {ORDERS}/id-0"] <= 3


def test_a_cancel_of_what_is_gone_is_refused() -> None:
    async def work(client: ExchangeClient) -> None:
        with pytest.raises(OrderRejected, match="not_found"):
            await client.cancel(Cancel(order_id="id-0", ticker="KXA"))

    talked(Venue(), work)
    venue = Venue(lose=[Says(500)])
    venue._place(ORDER)
    venue.orders["id-0"] = msgspec.structs.replace(venue.orders["id-0"], status=OrderStatus.EXECUTED)
    # The first attempt is lost, the second says 404, and the order had been executed.
    talked(venue, work, lookup_s=IN_VAIN_S)


def test_a_batch_of_cancels_sent_twice_is_told_as_it_stands() -> None:
    venue = Venue(lose=[Says(502)])
    venue._place(ORDER)
    wishes = [Cancel(order_id="id-0", ticker="KXA"), Cancel(order_id="id-1", ticker="KXA")]

    async def work(client: ExchangeClient) -> object:
        await client.place(msgspec.structs.replace(ORDER, client_order_id="b"))
        venue.lose = [Says(502)]
        return await client.cancel_batch(wishes)

    venue.lose = []
    answers = talked(venue, work)
    assert [one.reduced_by for one in answers] == [100, 100]  # type: ignore[attr-defined]


def test_a_change_whose_answer_was_lost_is_read_off_the_order() -> None:
    venue = Venue()
    venue._place(ORDER)
    amendment = Amendment(order_id="id-0", ticker="KXA", side=Side.BID, price=5_200, size=80)

    async def work(client: ExchangeClient) -> None:
        venue.lose = [Says(hang_up=True)]
        assert (await client.amend(amendment)).remaining == 80
        venue.lose = [Says(504)]
        assert (await client.decrease(Decrease(order_id="id-0", ticker="KXA", to=30))).remaining == 30
        venue.lose, venue.drops = [Says(504)], True
        with pytest.raises(OutcomeUnknown, match=r"it stands as resting, 30 lots\. Look again"):
            await client.decrease(Decrease(order_id="id-0", ticker="KXA", to=20))

    talked(venue, work, lookup_s=IN_VAIN_S)
    assert venue.asked[f"POST {ORDERS}/id-0/amend"] == 1 and venue.asked[f"POST {ORDERS}/id-0/decrease"] == 2


def test_reads_are_tried_again() -> None:
    answers = iter([Says(503), Says(hang_up=True), Says(body=BALANCE)])
    balance = talked(lambda _: next(answers), lambda client: client.ask(requests.get_balance(), bodies.read_balance))
    assert isinstance(balance, Balance) and balance.cash == 1_000_000


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (Says(500), ExchangeDown),
        (Says(silent=True), ExchangeDown),
        (Says(429), RateLimited),
        (no(Refused(status=401, code="authentication_error", details="NOT_FOUND")), AuthenticationFailed),
        (Says(200, b"<html>"), WireError),
        (Says(200, b"{}", {"content-encoding": "gzip"}), ExchangeDown),
    ],
)
def test_a_read_that_fails_is_one_typed_error(says: Says, kind: type[Exception]) -> None:
    async def work(client: ExchangeClient) -> None:
        with pytest.raises(kind):
            await client.ask(requests.get_balance(), bodies.read_balance)

    talked(lambda _: says, work, **patience(says))


def test_where_nobody_listens_the_error_names_the_address_and_the_remedy() -> None:
    async def whole() -> None:
        address = Address(environment="local", rest=f"http://127.0.0.1:9{BASE}", stream="ws://127.0.0.1:9/ws/v2")
        async with ExchangeClient(address, None, settings(), random.Random(0)) as client:
            with pytest.raises(ExchangeDown, match=r"no connection to 127\.0\.0\.1:9: .*kalshi-ray doctor"):
                await client.place(ORDER)

    asyncio.run(whole())


def test_every_attempt_is_signed_afresh_over_the_path_without_the_query() -> None:
    seen: list[Asked] = []

    def handler(asked: Asked) -> Says:
        seen.append(asked)
        return Says(500) if len(seen) < 3 else Says(body=bodies.write_orders(Page()))

    async def work(client: ExchangeClient) -> None:
        await client.ask(requests.get_orders(ticker="KX A/é", limit=5), bodies.read_orders)

    talked(handler, work, signer=signer())
    for asked in seen:
        text = f"{asked.headers[TIME_HEADER.lower()]}GET{BASE}/portfolio/orders".encode()
        ed25519_key().public_key().verify(base64.b64decode(asked.headers[SIGNATURE_HEADER.lower()]), text)
        assert asked.target == f"{BASE}/portfolio/orders?ticker=KX+A%2F%C3%A9&limit=5"
    assert len({asked.headers[TIME_HEADER.lower()] for asked in seen}) > 1


def test_a_path_is_sent_as_it_is_signed() -> None:
    seen: list[str] = []

    def handler(asked: Asked) -> Says:
        seen.append(asked.target)
        return no(NOT_FOUND)

    async def work(client: ExchangeClient) -> None:
        for ticker in ("KX-T104249.99", "a b/c?d#e%41", "é", "..."):
            request = requests.get_market(ticker)
            with pytest.raises(RequestRejected, match="not_found"):
                await client.ask(request, bodies.read_market)
            assert seen[-1] == BASE + request.path

    talked(handler, work)


@pytest.mark.parametrize("order_id", ["", ".", ".."])
def test_an_id_that_would_make_it_another_request_is_refused(order_id: str) -> None:
    """DELETE …/orders/ without an id could take every order back."""

    async def work(client: ExchangeClient) -> None:
        with pytest.raises(UsageError, match="an empty or dotted name"):
            await client.cancel(Cancel(order_id=order_id, ticker="KXA"))

    venue = Venue()
    talked(venue, work)
    assert not venue.asked


def test_pages_end_and_a_cursor_that_comes_back_is_an_error() -> None:
    def order(at: int) -> Order:
        venue = Venue()
        venue._place(msgspec.structs.replace(ORDER, client_order_id=f"c{at}"))
        return venue.orders["id-0"]

    cursors = {"": "x", "x": "y", "y": ""}

    def handler(asked: Asked) -> Says:
        cursor = asked.target.partition("cursor=")[2]
        return Says(body=bodies.write_orders(Page((order(len(cursor)),), cursors[cursor])))

    async def everything(client: ExchangeClient) -> int:
        pages = client.pages(lambda cursor: requests.get_orders(cursor=cursor), bodies.read_orders)
        return len([item async for item in pages])

    assert talked(handler, everything) == 3
    cursors["y"] = "x"

    async def circle(client: ExchangeClient) -> None:
        with pytest.raises(WireError, match="the cursor of page 3 came before"):
            await everything(client)

    talked(handler, circle)


def test_the_budget_is_kept_and_the_own_one_is_read() -> None:
    limits = AccountLimits(tier="t", read=Bucket(refill_rate=500, capacity=20), write=Bucket(refill_rate=9, capacity=9))
    known: dict[str, Callable[[], bytes]] = {
        "/account/limits": lambda: bodies.write_limits(limits),
        "/account/endpoint_costs": lambda: bodies.write_endpoint_costs(PUBLISHED_COSTS),
        "/portfolio/balance": lambda: BALANCE,
    }

    async def work(client: ExchangeClient) -> float:
        await client.read_limits()
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.ask(requests.get_balance(), bodies.read_balance) for _ in range(12)))
        return asyncio.get_running_loop().time() - began

    took = talked(lambda asked: Says(body=known[asked.path]()), work)
    assert isinstance(took, float) and took >= (12 * 10 - 20) / 500


def test_a_clock_that_is_off_is_warned_about_once_and_named_in_the_refusal() -> None:
    log = io.StringIO()
    telemetry.configure(level="WARNING", as_json=True, stream=log)
    expired = Refused(status=401, code="header_timestamp_expired")
    date = {"date": "Sat, 03 Oct 2026 04:00:00 GMT"}
    answers = iter([Says(body=BALANCE, headers=date), Says(401, write_error(expired), date)])

    async def work(client: ExchangeClient) -> None:
        await client.ask(requests.get_balance(), bodies.read_balance)
        with pytest.raises(AuthenticationFailed, match=r"this clock is .* s (ahead of|behind) the exchange's"):
            await client.ask(requests.get_balance(), bodies.read_balance)

    talked(lambda _: next(answers), work)
    assert log.getvalue().count("exchange.clock_skew") == 1


def test_no_log_and_no_error_shows_the_key_or_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    telemetry.configure(level="DEBUG", stream=log)
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    seen: list[str] = []

    def venue(asked: Asked) -> Says:
        seen.append(asked.headers[SIGNATURE_HEADER.lower()])
        return Says(500)

    async def work(client: ExchangeClient) -> None:
        for request in (requests.get_balance(), requests.cancel_all()):
            try:
                await client.ask(request, bodies.read_balance)
            except Exception as problem:
                whole = traceback.TracebackException.from_exception(problem, capture_locals=True)
                log.write("".join(whole.format()))

    try:
        talked(venue, work, signer=signer())
    finally:
        logging.getLogger().removeHandler(handler)
    pem = pem_of(ed25519_key()).decode().splitlines()[1]
    assert len(seen) == 6 and log.getvalue()
    assert pem not in log.getvalue() and not any(one in log.getvalue() for one in seen)


def test_keys_from_file_variable_and_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = pem_of(ed25519_key())
    file = tmp_path / "key.pem"
    file.write_bytes(pem)
    file.chmod(0o600)
    by_file = key_of(ExchangeSettings(key_id=KEY_ID, private_key_file=str(file)))
    assert by_file is not None and by_file.kind == "Ed25519"
    for written in (pem.decode(), pem.decode().replace("\n", "\\n")):
        monkeypatch.setenv("KALSHI_PRIVATE_KEY", written)
        by_variable = key_of(ExchangeSettings(key_id=KEY_ID))
        assert by_variable is not None and by_variable.key_id == KEY_ID
    monkeypatch.delenv("KALSHI_PRIVATE_KEY")
    ready = ReadyFile(
        rest="http://127.0.0.1:1/trade-api/v2",
        ws="ws://127.0.0.1:1/trade-api/ws/v2",
        accounts=(ReadyAccount("first", "key.pem"), ReadyAccount("second", str(file))),
    )
    (tmp_path / "ready.json").write_bytes(msgspec.json.encode(ready))
    chosen = ExchangeSettings(ready_file=str(tmp_path / "ready.json"), account=1)
    address, simulated = opened(chosen)
    assert address.rest == ready.rest and simulated is not None and simulated.key_id == "second"
    with pytest.raises(ConfigError, match="the simulator has 2 accounts"):
        opened(msgspec.structs.replace(chosen, account=2))
    assert opened(msgspec.structs.replace(chosen, rest_url="http://127.0.0.1:2/trade-api/v2"))[1] is None


def test_a_simulator_that_is_started_again_is_signed_for_with_its_other_key(tmp_path: Path) -> None:
    key, path = tmp_path / "key.pem", tmp_path / "ready.json"
    key.write_bytes(pem_of(ed25519_key()))
    key.chmod(0o600)

    def start(key_id: str, file: str = "key.pem") -> None:
        accounts = (ReadyAccount(key_id, file),)
        ready = ReadyFile(rest="http://127.0.0.1:1/v2", ws="ws://127.0.0.1:1/v2", accounts=accounts)
        (tmp_path / "next").write_bytes(msgspec.json.encode(ready))
        (tmp_path / "next").replace(path)

    start("first")
    _, signer = opened(ExchangeSettings(ready_file=str(path)))
    assert signer is not None

    def signed_by() -> str:
        return signer.headers("GET", "/", 0)[KEY_HEADER]

    assert signed_by() == "first"
    start("second")
    assert signed_by() == "second"
    path.unlink()  # nobody serves
    assert signed_by() == "second"
    start("third", "nowhere.pem")
    assert signed_by() == "second"  # which is refused, until the file is as it should be
    start("fourth")
    assert signed_by() == "fourth"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"key_id": KEY_ID}, "there is no private key"),
        ({"key_id": KEY_ID, "private_key_file": "nowhere.pem"}, "cannot read the private key nowhere.pem"),
        ({"private_key_file": "nowhere.pem"}, "cannot read the private key"),
        ({"ready_file": "nowhere.json"}, "no simulator: cannot read nowhere.json.*kalshi-ray simulate --ready-file"),
    ],
)
def test_a_missing_key_is_one_clear_error(
    given: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        wanted = ExchangeSettings(**given)  # type: ignore[arg-type]
        key_of(wanted)
        opened(wanted)


def test_a_key_file_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    log = io.StringIO()
    telemetry.configure(level="WARNING", as_json=True, stream=log)
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(ed25519_key()))
    for mode, said in ((0o600, ""), (0o640, "group"), (0o644, "everybody")):
        file.chmod(mode)
        log.truncate(0)
        key_of(ExchangeSettings(key_id=KEY_ID, private_key_file=str(file)))
        assert (f'"by": "{said}"' in log.getvalue() and "chmod 600" in log.getvalue()) if said else not log.getvalue()
