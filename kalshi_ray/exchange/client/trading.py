"""Orders over HTTP: what is accepted, what is refused, and what is looked up because its answer was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from kalshi_ray import telemetry
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import OrderRejected, OutcomeUnknown, RequestRejected, WireError
from kalshi_ray.exchange.client.requester import Reader, Requester
from kalshi_ray.exchange.rest import (
    EXISTS,
    Call,
    Unclear,
    is_amended,
    is_decreased,
    placed_of,
    reduced_of,
)
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    Decrease,
    Order,
    OrderRequest,
    Placed,
    Reduced,
    Refused,
    TimeInForce,
)

T = TypeVar("T")

FIRST_LOOK_S = 0.1  # reads lag writes by up to about a second
NEXT_LOOK_S = 0.5
EARLIER_NS = 120 * SECOND  # an order may carry a time before ours: clocks differ


class ExchangeClient(Requester):
    """A requester that places, changes and takes back orders, and never places one twice."""

    async def place(self, order: OrderRequest, *, again: bool = False) -> Placed:
        """Address an order. OrderRejected if the exchange says no; OutcomeUnknown if it cannot be found out in time.

        `again`: this very order was sent before and its outcome is unknown. The exchange takes a client_order_id once,
        so it cannot be placed twice; one that is there already is returned as it stands.
        """
        call = self._call(requests.create_order(order))
        try:
            placed = await self._carried(call, bodies.read_placed)
        except OrderRejected as refused:
            if not (again and refused.code == EXISTS):
                raise
            return await self._landed(order, refused)
        if not isinstance(placed, Unclear):
            return placed
        return placed_of((await self._find([order], placed.cause))[order.client_order_id])

    async def place_batch(self, orders: Sequence[OrderRequest]) -> tuple[Placed | Refused, ...]:
        """Address several orders; each is accepted or refused for itself. If the answer is lost all are looked up."""
        call = self._call(requests.create_batch(orders))
        answers = await self._carried(call, bodies.read_batch_placed)
        if not isinstance(answers, Unclear):
            return _one_each(answers, len(orders))
        found = await self._find(orders, answers.cause)
        return tuple(placed_of(found[order.client_order_id]) for order in orders)

    async def cancel(self, cancel: Cancel) -> Reduced:
        """Take an order back. OrderRejected with `not_found` if it is not working (any more)."""
        call = self._call(requests.cancel_order(cancel))
        try:
            reduced = await self._carried(call, bodies.read_reduced)
        except OrderRejected as refused:
            if not (call.was_unclear and refused.status == 404):
                raise
            return await self._cancelled(cancel, refused)
        if not isinstance(reduced, Unclear):
            return reduced
        return await self._see(cancel.order_id, reduced_of, reduced.cause)

    async def cancel_batch(self, cancels: Sequence[Cancel]) -> tuple[Reduced | Refused, ...]:
        """Take several orders back; each answers for itself."""
        call = self._call(requests.cancel_batch(cancels))
        answers = await self._carried(call, bodies.read_batch_reduced)
        if isinstance(answers, Unclear):
            return tuple([await self._see(one.order_id, reduced_of, answers.cause) for one in cancels])
        answers = _one_each(answers, len(cancels))
        if not call.was_unclear:
            return answers
        return tuple([await self._reconsidered(*pair) for pair in zip(cancels, answers)])

    async def cancel_all(self, subaccount: int | None = None) -> None:
        """Take every order back, of one subaccount or of all; it may hit orders placed within the next minute."""
        await self.send(requests.cancel_all(subaccount))

    async def amend(self, amendment: Amendment) -> Placed:
        """Change price or size of an order."""
        call = self._call(requests.amend_order(amendment))
        answer = await self._carried(call, bodies.read_placed)
        if not isinstance(answer, Unclear):
            return answer
        return await self._see(
            amendment.order_id, lambda order: placed_of(order) if is_amended(order, amendment) else None, answer.cause
        )

    async def decrease(self, decrease: Decrease) -> Reduced:
        """Make an order smaller; it keeps its place."""
        call = self._call(requests.decrease_order(decrease))
        answer = await self._carried(call, bodies.read_reduced)
        if not isinstance(answer, Unclear):
            return answer
        return await self._see(
            decrease.order_id, lambda order: _left(order) if is_decreased(order, decrease) else None, answer.cause
        )

    async def order_of(self, order_id: str) -> Order:
        """One own order."""
        return await self.ask(requests.get_order(order_id), bodies.read_order)

    async def _carried(self, call: Call, reader: Reader[T]) -> T | Unclear:
        """The answer to a write. One that cannot be read says as little as one that was lost."""
        body = await self.carry(call)
        if isinstance(body, Unclear):
            return body
        try:
            return reader(body, self.unknown_keys)
        except WireError as problem:
            telemetry.warning("exchange.unreadable", request=call.name, problem=str(problem))
            return Unclear(f"its answer cannot be read: {problem}")

    async def _find(self, orders: Sequence[OrderRequest], cause: str) -> dict[str, Order]:
        """Look until every order is found by its client_order_id. OutcomeUnknown with those that are not."""
        wanted = {order.client_order_id for order in orders}
        since = time.time_ns() - round(self.settings.timeout_s * SECOND) - EARLIER_NS
        found: dict[str, Order] = {}

        async def look() -> dict[str, Order] | None:
            for ticker in {order.ticker for order in orders if order.client_order_id not in found}:
                page = partial(self._orders_since, ticker, since)
                async for order in self.pages(page, bodies.read_orders):
                    if order.client_order_id in wanted:
                        found[order.client_order_id] = order
            return found if len(found) == len(wanted) else None

        if await self._watch(look) is not None:
            return found
        missing = tuple(sorted(wanted - found.keys()))
        raise OutcomeUnknown(
            f"{', '.join(missing)} may have been placed or not: {cause}; not seen within {self.settings.lookup_s:g} s",
            client_order_ids=missing,
            remedy="Address it again under the same client_order_id, which cannot place it twice",
        )

    @staticmethod
    def _orders_since(ticker: str, since_ns: int, cursor: str) -> Request:
        return requests.get_orders(ticker=ticker, since_ns=since_ns, limit=1_000, cursor=cursor)

    async def _landed(self, order: OrderRequest, refused: OrderRejected) -> Placed:
        """An order sent again, whose id the exchange knows: it landed, unless it was killed or is another one."""
        try:
            found = (await self._find([order], "its client_order_id exists"))[order.client_order_id]
        except OutcomeUnknown:
            if order.time_in_force is TimeInForce.FOK:  # killed: the id stays taken, and no order is kept
                raise refused from None
            raise
        if (found.ticker, found.side, found.price) != (order.ticker, order.side, order.price):
            raise refused
        return placed_of(found)

    async def _cancelled(self, cancel: Cancel, refused: OrderRejected) -> Reduced:
        """A cancel was sent twice and nothing was there the second time: the first may have taken it."""
        try:
            return await self._see(cancel.order_id, reduced_of, "it is gone")
        except OutcomeUnknown:
            raise refused from None

    async def _reconsidered(self, cancel: Cancel, answer: Reduced | Refused) -> Reduced | Refused:
        if isinstance(answer, Reduced):
            return answer
        order = await self.order_of(cancel.order_id)
        return reduced_of(order) or answer

    async def _see(self, order_id: str, judge: Callable[[Order], T | None], cause: str) -> T:
        """Look at an order until `judge` recognises what was wanted. OutcomeUnknown if it never does."""
        last: list[Order] = []

        async def look() -> T | None:
            last[:] = [await self.order_of(order_id)]
            return judge(last[0])

        seen = await self._watch(look)
        if seen is not None:
            return seen
        stands = f"; it stands as {last[0].status.value}, {last[0].remaining} lots" if last else ""
        raise OutcomeUnknown(f"order {order_id} may have been changed or not: {cause}{stands}", remedy="Look again")

    async def _watch(self, look: Callable[[], Awaitable[T | None]]) -> T | None:
        """Look at once and then now and again, as long as the settings say."""
        until = time.monotonic() + self.settings.lookup_s
        pause = FIRST_LOOK_S
        while True:
            try:
                seen = await look()
            except RequestRejected as problem:
                if problem.status != 404:  # not known yet: reads lag
                    raise
                seen = None
            if seen is not None or time.monotonic() + pause > until:
                return seen
            await asyncio.sleep(pause)
            pause = NEXT_LOOK_S


def _left(order: Order) -> Reduced:
    return Reduced(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        remaining=order.remaining,
        ts_ns=order.updated_ns,
    )


def _one_each(answers: tuple[T, ...], count: int) -> tuple[T, ...]:
    """Answers come by position: another number of them says nothing of any."""
    if len(answers) != count:
        raise OutcomeUnknown(f"{len(answers)} answers to {count} orders", remedy="Read the orders again")
    return answers
