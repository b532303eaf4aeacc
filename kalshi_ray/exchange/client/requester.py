"""Requests over HTTP: signed, metered, and sent again where that can do no harm."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

import httpx

from kalshi_ray import __version__, telemetry
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import OutcomeUnknown, UsageError, WireError
from kalshi_ray.exchange.client.gate import Gate
from kalshi_ray.exchange.rest import Again, Backoff, Call, Done, Loss, Reply, Unclear, skew_ns, skew_words
from kalshi_ray.exchange.settings import Address, ExchangeSettings
from kalshi_ray.exchange.sign import Signer
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import Page

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

CONNECTIONS = 16
LARGEST_BODY = 64 * 2**20
AGENT = f"kalshi-ray/{__version__}"


def unreadable(request: Request, problem: WireError) -> WireError:
    """An answer that is none of the exchange's, with what was asked for."""
    what = f"the answer to {request.method} {request.path} cannot be read: {problem}"
    return WireError(what, remedy="See that the addresses are the exchange's, and that nothing answers in its place")


class Reader(Protocol[T_co]):
    """Reads the body of an answer; keys that are not documented are counted."""

    def __call__(self, raw: bytes, unknown: Counter[str], /) -> T_co: ...


class Requester:
    """Sends requests to one exchange and returns what they answer.

    async with Requester(address, signer, settings, random.Random()) as exchange:
        market = await exchange.ask(requests.get_market(ticker), bodies.read_market)
    """

    def __init__(
        self, address: Address, signer: Signer | None, settings: ExchangeSettings, chance: random.Random
    ) -> None:
        self.address, self.signer, self.settings = address, signer, settings
        self.unknown_keys: Counter[str] = Counter()
        self.skew: tuple[int, int] | None = None  # our clock less the exchange's, and its uncertainty, in ns
        self._backoff = Backoff(settings, chance)
        self._gate = Gate(settings.cancel_reserve)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=settings.timeout_s / 2),  # the rest is timed as a whole
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            headers={"User-Agent": AGENT, "Accept": "application/json"},
            verify=address.rest.startswith("https:"),  # reading the certificates takes a tenth of a second
            trust_env=not address.is_loopback,  # a proxy of the environment does not lead to this machine
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        self._gate.close()
        await self._http.aclose()

    async def read_limits(self) -> None:
        """Go by the account's own budget instead of the lowest tier's. Long-lived clients call it once."""
        limits = await self.ask(requests.get_limits(), bodies.read_limits)
        costs = await self.ask(requests.get_endpoint_costs(), bodies.read_endpoint_costs)
        self._gate.adopt(limits, costs)

    async def ask(self, request: Request, reader: Reader[T]) -> T:
        """Send a request and read its answer. OutcomeUnknown for a write whose answer was lost."""
        body, _ = await self.send(request)
        try:
            return reader(body, self.unknown_keys)
        except WireError as problem:
            raise unreadable(request, problem) from problem

    async def pages(
        self, request_of: Callable[[str], Request], reader: Reader[Page[T]], most: int | None = None
    ) -> AsyncIterator[T]:
        """All items of a list, page by page, at most so many; `request_of` takes the cursor."""
        cursor, seen, count = "", {""}, 0
        while True:
            page = await self.ask(request_of(cursor), reader)
            for item in page.items:
                yield item
                count += 1
                if count == most:
                    return
            cursor = page.cursor
            if not cursor:
                return
            if cursor in seen:  # the exchange answers a cursor that it does not know with the first page
                raise WireError(f"{request_of('').path}: the cursor of page {len(seen)} came before")
            seen.add(cursor)

    async def send(self, request: Request) -> tuple[bytes, Call]:
        """The body of the answer, and how the request came to it. OutcomeUnknown for a write whose answer was lost."""
        call = self._call(request)
        body = await self.carry(call)
        if isinstance(body, Unclear):
            raise OutcomeUnknown(f"{call.name} may have been carried out or not: {body.cause}", remedy="Look it up")
        return body, call

    def _call(self, request: Request) -> Call:
        if {"", ".", ".."}.intersection(request.path.split("/")[1:]):
            # It would end as another request: cancelling the order of no id would cancel all.
            raise UsageError(f"{request.method} {request.path} has an empty or dotted name in its path")
        return Call(request, self.settings.attempts, self._backoff)

    async def carry(self, call: Call) -> bytes | Unclear:
        """Bring a call to its end; what is unclear is told, not raised. Raises where the exchange says no."""
        while True:
            await self._gate.enter(call.request)
            step = await self._attempt(call)
            if isinstance(step, Done):
                return step.body
            if isinstance(step, Unclear):
                telemetry.warning("exchange.unclear", request=call.name, cause=step.cause)
                return step
            if step.overdrawn:
                self._gate.overdrawn(call.request)
            telemetry.event("exchange.again", request=call.name, pause_s=step.after_ns / SECOND)
            await asyncio.sleep(step.after_ns / SECOND)

    async def _attempt(self, call: Call) -> Done | Again | Unclear:
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                reply = await self._exchange(call.request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as problem:
            return call.failed(Loss.NOT_SENT, f"no connection to {self._host}: {_said(problem)}")
        except (httpx.TransportError, httpx.DecodingError) as problem:
            return call.failed(Loss.NO_ANSWER, f"{self._host}: {_said(problem)}")
        except TimeoutError:
            return call.failed(Loss.NO_ANSWER, f"{self._host} did not answer within {self.settings.timeout_s:g} s")
        return call.answered(reply, self.skew[0] if self.skew else None)

    async def _exchange(self, request: Request) -> Reply:
        """One request and its answer."""
        sent = time.time_ns()
        headers = {"Content-Type": "application/json"} if request.body else {}
        if self.signer is not None:
            headers |= self.signer.headers(request.method, self.address.rest_path + request.path, sent)
        url = self.address.rest + request.target
        async with self._http.stream(request.method, url, headers=headers, content=request.body or None) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > LARGEST_BODY:
                    raise httpx.DecodingError(f"an answer of more than {LARGEST_BODY >> 20} MiB")
        reply = Reply(status=response.status_code, body=bytes(body), date=response.headers.get("date", ""))
        self._note_skew(skew_ns(reply.date, sent, time.time_ns()))
        return reply

    def _note_skew(self, skew: tuple[int, int] | None) -> None:
        if skew is None:
            return
        was, self.skew = self.skew, skew
        limit = self.settings.most_skew_s * SECOND
        if abs(skew[0]) - skew[1] > limit and (was is None or abs(was[0]) - was[1] <= limit):
            telemetry.warning(
                "exchange.clock_skew", clock=skew_words(skew[0]), remedy="set the clock, for example with NTP"
            )

    @property
    def _host(self) -> str:
        return self.address.rest.partition("://")[2].partition("/")[0]


def _said(problem: Exception) -> str:
    return str(problem) or type(problem).__name__
