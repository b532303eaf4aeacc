"""Waiting for tokens: the throttle's decisions on the event loop."""

from __future__ import annotations

import asyncio
import time

from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.throttle import Throttle, Ticket
from kalshi_ray.wire.listing import AccountLimits, EndpointCosts
from kalshi_ray.wire.requests import Request


class Gate:
    """Lets requests through as the account's budget allows, cancels first."""

    def __init__(self, cancel_reserve: int) -> None:
        self._throttle = Throttle(time.monotonic_ns(), cancel_reserve=cancel_reserve)
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}
        self._alarm: asyncio.TimerHandle | None = None

    async def enter(self, request: Request) -> None:
        """Return when the request has paid."""
        ticket = self._throttle.submit(request, time.monotonic_ns())
        passed = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        self._open()
        try:
            await passed
        finally:
            self._waiting.pop(ticket, None)
            self._throttle.withdraw(ticket)

    def adopt(self, limits: AccountLimits, costs: EndpointCosts) -> None:
        """Go by the account's own limits from now on."""
        self._throttle.adopt(limits, costs, time.monotonic_ns())
        self._open()

    def overdrawn(self, request: Request) -> None:
        """The exchange counts less for this account than we do."""
        self._throttle.overdrawn(request, time.monotonic_ns())

    def close(self) -> None:
        """Wake nobody any more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _open(self) -> None:
        now = time.monotonic_ns()
        for ticket in self._throttle.due(now):
            passed = self._waiting.get(ticket)
            if passed is not None and not passed.done():
                passed.set_result(None)
        self.close()
        if self._throttle.next_ns is not None:
            pause = max(0, self._throttle.next_ns - now) / SECOND
            self._alarm = asyncio.get_running_loop().call_later(pause, self._open)
