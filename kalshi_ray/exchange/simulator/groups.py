"""Order groups: too much filled within 15 s cancels all orders of the group and blocks it until it is reset."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kalshi_ray.core.units import SECOND
from kalshi_ray.wire.trading import OrderGroup

if TYPE_CHECKING:
    from kalshi_ray.exchange.simulator.accounts import Account
    from kalshi_ray.exchange.simulator.orders import LiveOrder

WINDOW_NS = 15 * SECOND


class Group:
    """A group of one account's orders. `orders` are those that work."""

    __slots__ = (
        "_filled",
        "_fills",
        "account",
        "exchange_index",
        "id",
        "is_triggered",
        "limit",
        "orders",
        "subaccount",
    )

    def __init__(self, account: Account, group_id: str, limit: int, subaccount: int, exchange_index: int) -> None:
        self.account = account
        self.id, self.limit, self.subaccount, self.exchange_index = group_id, limit, subaccount, exchange_index
        self.orders: dict[str, LiveOrder] = {}
        self.is_triggered = False
        self._fills: deque[tuple[int, int]] = deque()  # ns, lots
        self._filled = 0

    def note_fill(self, lots: int, now_ns: int) -> bool:
        """An order of the group filled; whether the group has to be triggered."""
        self._fills.append((now_ns, lots))
        self._filled += lots
        return self.is_exceeded(now_ns)

    def is_exceeded(self, now_ns: int) -> bool:
        """Whether more than the limit was filled within the window up to now."""
        while self._fills and self._fills[0][0] <= now_ns - WINDOW_NS:
            self._filled -= self._fills.popleft()[1]
        return self._filled > self.limit and not self.is_triggered

    def reset(self) -> None:
        """Forget what was filled and take orders again."""
        self._fills.clear()
        self._filled = 0
        self.is_triggered = False

    def value(self) -> OrderGroup:
        """The group as REST describes it."""
        return OrderGroup(
            group=self.id,
            limit=self.limit,
            is_auto_cancel_enabled=not self.is_triggered,
            orders=tuple(self.orders),
            exchange_index=self.exchange_index,
        )
