"""Bodies of order groups."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from kalshi_ray.core.units import CONTRACT
from kalshi_ray.errors import WireError
from kalshi_ray.wire.numbers import count_text, lots_of, lots_of_text
from kalshi_ray.wire.refusals import bad_request, read_request
from kalshi_ray.wire.shapes import Shape, Unknown
from kalshi_ray.wire.trading import GroupCreated, GroupRequest, OrderGroup

Json = dict[str, Any]


class _LimitBody(msgspec.Struct):
    """A limit in whole contracts, as text of contracts, or both and the same."""

    contracts_limit: int | None = None
    contracts_limit_fp: str | None = None


class _GroupBody(_LimitBody):
    subaccount: int = 0
    exchange_index: int = 0


class _CreatedBody(msgspec.Struct):
    order_group_id: str
    subaccount: int = 0
    exchange_index: int = 0


class _ListedGroup(msgspec.Struct):
    id: str
    is_auto_cancel_enabled: bool
    contracts_limit_fp: Decimal | None = None
    exchange_index: int = 0


class _GroupList(msgspec.Struct):
    order_groups: list[_ListedGroup] = []


class _OneGroup(msgspec.Struct):
    is_auto_cancel_enabled: bool
    orders: list[str] = []
    contracts_limit_fp: Decimal | None = None
    exchange_index: int = 0


_limit = Shape(_LimitBody)
_group = Shape(_GroupBody)
_created = Shape(_CreatedBody)
_list = Shape(_GroupList)
_one = Shape(_OneGroup)


def read_group_request(raw: bytes) -> GroupRequest:
    """A group to be made, as it comes to the exchange."""
    body = read_request(_group, raw)
    return GroupRequest(limit=_lots(body), subaccount=body.subaccount, exchange_index=body.exchange_index)


def write_group_request(group: GroupRequest) -> bytes:
    """The body of a group's creation."""
    body = _limit_keys(group.limit) | {"exchange_index": group.exchange_index}
    return msgspec.json.encode(body | ({"subaccount": group.subaccount} if group.subaccount else {}))


def read_group_limit(raw: bytes) -> int:
    """Another limit, in lots, as it comes to the exchange."""
    return _lots(read_request(_limit, raw))


def write_group_limit(limit: int) -> bytes:
    """The body of another limit."""
    return msgspec.json.encode(_limit_keys(limit))


def read_group_created(raw: bytes, unknown: Unknown = None) -> GroupCreated:
    """The answer to a group's creation."""
    body = _created.read(raw, unknown)
    return GroupCreated(group=body.order_group_id, subaccount=body.subaccount, exchange_index=body.exchange_index)


def write_group_created(created: GroupCreated) -> bytes:
    """The answer to a group's creation."""
    body = {"order_group_id": created.group, "subaccount": created.subaccount}
    return msgspec.json.encode(body | {"exchange_index": created.exchange_index})


def read_groups(raw: bytes, unknown: Unknown = None) -> tuple[OrderGroup, ...]:
    """All groups, without their orders."""
    return tuple(
        OrderGroup(
            group=one.id,
            limit=_limit_of(one.contracts_limit_fp),
            is_auto_cancel_enabled=one.is_auto_cancel_enabled,
            exchange_index=one.exchange_index,
        )
        for one in _list.read(raw, unknown).order_groups
    )


def write_groups(groups: Sequence[OrderGroup]) -> bytes:
    """All groups, without their orders."""
    return msgspec.json.encode({"order_groups": [{"id": group.group} | _group_keys(group) for group in groups]})


def read_group(raw: bytes, group: str, unknown: Unknown = None) -> OrderGroup:
    """The group that was asked for, with its orders; the answer does not name it."""
    body = _one.read(raw, unknown)
    return OrderGroup(
        group=group,
        limit=_limit_of(body.contracts_limit_fp),
        is_auto_cancel_enabled=body.is_auto_cancel_enabled,
        orders=tuple(body.orders),
        exchange_index=body.exchange_index,
    )


def write_group(group: OrderGroup) -> bytes:
    """One group with its orders."""
    return msgspec.json.encode(_group_keys(group) | {"orders": list(group.orders)})


def _group_keys(group: OrderGroup) -> Json:
    keys: Json = {"is_auto_cancel_enabled": group.is_auto_cancel_enabled, "exchange_index": group.exchange_index}
    return keys if group.limit is None else keys | {"contracts_limit_fp": count_text(group.limit)}


def _limit_of(count: Decimal | None) -> int | None:
    return None if count is None else lots_of(count, "contracts_limit_fp")


def _limit_keys(limit: int) -> Json:
    """Whole contracts in both forms, a fraction as text alone."""
    keys: Json = {"contracts_limit_fp": count_text(limit)}
    return keys if limit % CONTRACT else {"contracts_limit": limit // CONTRACT} | keys


def _lots(body: _LimitBody) -> int:
    """The limit in lots: at least one of the two, and both the same."""
    try:
        exact = None if body.contracts_limit_fp is None else lots_of_text(body.contracts_limit_fp, "contracts_limit_fp")
    except WireError as error:
        raise bad_request(str(error)) from error
    whole = None if body.contracts_limit is None else body.contracts_limit * CONTRACT
    if exact is None and whole is None:
        raise bad_request("contracts_limit or contracts_limit_fp must be provided")
    if exact is not None and whole is not None and exact != whole:
        raise bad_request("contracts_limit and contracts_limit_fp differ")
    limit = whole if exact is None else exact
    if not limit or limit < 0:
        raise bad_request("contracts_limit must be positive")
    return limit
