"""Order groups of all accounts: made, limited, triggered, reset and deleted."""

from __future__ import annotations

from kalshi_ray.exchange.simulator.accounts import SUBACCOUNTS, Account
from kalshi_ray.exchange.simulator.checks import NO_GROUP, PAUSED
from kalshi_ray.exchange.simulator.groups import Group
from kalshi_ray.exchange.simulator.orders import LiveOrder
from kalshi_ray.exchange.simulator.outbox import Private
from kalshi_ray.exchange.simulator.reads import ReadableExchange
from kalshi_ray.wire.refusals import refusal
from kalshi_ray.wire.trading import GroupCreated, GroupMessage, GroupRequest, Refused


class GroupingExchange(ReadableExchange):
    """The exchange as order groups see it."""

    def create_group(self, account: Account, request: GroupRequest, now_ns: int) -> GroupCreated | Refused:
        """Make an order group."""
        self.turn(now_ns)
        if not self.exchange_active:
            return PAUSED
        if not 0 <= request.subaccount < SUBACCOUNTS:
            return refusal(400, "bad_request", f"subaccount is 0 to {SUBACCOUNTS - 1}")
        if request.limit <= 0:
            return refusal(400, "bad_request", "contracts_limit must be positive")
        if len(account.groups) >= self.settings.max_groups:
            return refusal(400, "bad_request", f"more than {self.settings.max_groups} order groups")
        group_id = self.clearing.next_id("group")[1]
        group = Group(account, group_id, request.limit, request.subaccount, request.exchange_index)
        account.groups[group_id] = group
        self._tell_group(group, "created")
        return GroupCreated(group=group_id, subaccount=request.subaccount, exchange_index=request.exchange_index)

    def limit_group(self, account: Account, group_id: str, limit: int, now_ns: int) -> Refused | None:
        """Another limit; one that is exceeded already triggers the group."""
        self.turn(now_ns)
        group = self._find_group(account, group_id)
        if isinstance(group, Refused):
            return group
        if limit <= 0:
            return refusal(400, "bad_request", "contracts_limit must be positive")
        group.limit = limit
        self._tell_group(group, "limit_updated")
        if group.is_exceeded(self.now_ns):
            self._trigger(group)
        return None

    def reset_group(self, account: Account, group_id: str, now_ns: int) -> Refused | None:
        """Forget what was filled, and take orders again."""
        self.turn(now_ns)
        group = self._find_group(account, group_id)
        if isinstance(group, Refused):
            return group
        group.reset()
        self._tell_group(group, "reset")
        return None

    def trigger_group(self, account: Account, group_id: str, now_ns: int) -> Refused | None:
        """Cancel all orders of the group and take none until it is reset."""
        self.turn(now_ns)
        group = self._find_group(account, group_id)
        if isinstance(group, Refused):
            return group
        self._trigger(group)
        return None

    def delete_group(self, account: Account, group_id: str, now_ns: int) -> Refused | None:
        """Cancel all orders of the group and forget it."""
        self.turn(now_ns)
        group = self._find_group(account, group_id)
        if isinstance(group, Refused):
            return group
        del account.groups[group_id]
        self.cancel_orders(list(group.orders.values()))
        self._tell_group(group, "deleted")
        return None

    def cancel_orders(self, orders: list[LiveOrder]) -> None:
        """Cancel working orders, one after another."""
        for order in orders:
            market = self.markets_by_ticker[order.ticker]
            market.cancel(order)
            market.publish(order.cause)

    def trip_groups(self) -> None:
        """Trigger the groups that filled more than they may."""
        tripped, self.clearing.tripped = self.clearing.tripped, []
        for group in tripped:
            if not group.is_triggered:
                self._trigger(group)

    def _find_group(self, account: Account, group_id: str) -> Group | Refused:
        """The group that is meant, where the exchange takes anything at all."""
        if not self.exchange_active:
            return PAUSED
        return account.groups.get(group_id) or NO_GROUP

    def _trigger(self, group: Group) -> None:
        group.is_triggered = True
        self.cancel_orders(list(group.orders.values()))
        self._tell_group(group, "triggered")

    def _tell_group(self, group: Group, change: str) -> None:
        limit = group.limit if change in ("created", "limit_updated") else None
        message = GroupMessage(group=group.id, change=change, limit=limit, exch_ns=self.now_ns)
        self.outbox.append(Private("private", group.account, message))
