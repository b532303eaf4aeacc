"""Bodies of writes as they are answered: what was placed, amended, cancelled and decreased, singly and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from kalshi_ray.core.units import MILLISECOND
from kalshi_ray.errors import WireError
from kalshi_ray.wire.numbers import count_text, lots_of, micros_of, money_text
from kalshi_ray.wire.refusals import read_refusal, refusal_body
from kalshi_ray.wire.shapes import Shape, Unknown
from kalshi_ray.wire.trading import Cancel, Placed, Reduced, Refused

Json = dict[str, Any]


class _PlacedBody(msgspec.Struct):
    """Of a create and an amendment; counts are null or absent where an amendment changed neither."""

    order_id: str
    client_order_id: str = ""
    fill_count: Decimal | None = None
    remaining_count: Decimal | None = None
    average_fill_price: Decimal | None = None
    average_fee_paid: Decimal | None = None
    ts_ms: int = 0


class _ReducedBody(msgspec.Struct):
    order_id: str
    client_order_id: str = ""
    reduced_by: Decimal | None = None
    remaining_count: Decimal | None = None
    ts_ms: int = 0


class _Item(msgspec.Struct):
    """One answer of a batch: as the single call's, or an error."""

    order_id: str = ""
    client_order_id: str = ""
    fill_count: Decimal | None = None
    remaining_count: Decimal | None = None
    average_fill_price: Decimal | None = None
    average_fee_paid: Decimal | None = None
    reduced_by: Decimal | None = None
    ts_ms: int = 0
    error: Any = None


class _Items(msgspec.Struct):
    orders: list[_Item]


_placed = Shape(_PlacedBody)
_reduced = Shape(_ReducedBody)
_items = Shape(_Items)


def read_placed(raw: bytes, unknown: Unknown = None) -> Placed:
    """The answer to a create or an amendment."""
    return _placed_of(_placed.read(raw, unknown))


def write_placed(placed: Placed) -> bytes:
    """The answer to a create."""
    return msgspec.json.encode(_placed_keys(placed))


def write_amended(placed: Placed, *, has_changed: bool = True) -> bytes:
    """The answer to an amendment; without counts where it neither filled nor changed what rests."""
    keys = _placed_keys(placed)
    if not has_changed:
        keys = {key: value for key, value in keys.items() if key not in ("fill_count", "remaining_count")}
    return msgspec.json.encode(keys)


def read_reduced(raw: bytes, unknown: Unknown = None) -> Reduced:
    """The answer to a cancel or a decrease."""
    return _reduced_of(_reduced.read(raw, unknown))


def write_reduced(reduced: Reduced) -> bytes:
    """The answer to a cancel (`reduced_by`) or a decrease (`remaining`)."""
    return msgspec.json.encode(_reduced_keys(reduced))


def read_batch_placed(raw: bytes, unknown: Unknown = None) -> tuple[Placed | Refused, ...]:
    """The answers to a batched create, in the order that was asked."""
    return tuple(_refused_of(one) or _placed_of(one) for one in _items.read(raw, unknown).orders)


def write_batch_placed(answers: Sequence[Placed | Refused]) -> bytes:
    """The answers to a batched create."""
    items = [_error_keys(one) if isinstance(one, Refused) else _placed_keys(one) for one in answers]
    return msgspec.json.encode({"orders": items})


def read_batch_reduced(raw: bytes, unknown: Unknown = None) -> tuple[Reduced | Refused, ...]:
    """The answers to a batched cancel, in the order that was asked."""
    return tuple(_refused_of(one) or _reduced_of(one) for one in _items.read(raw, unknown).orders)


def write_batch_reduced(cancels: Sequence[Cancel], answers: Sequence[Reduced | Refused]) -> bytes:
    """The answers to the cancels of a batch; a refused one reduced nothing."""
    items = [
        {"order_id": cancel.order_id, "reduced_by": count_text(0)} | _error_keys(one)
        if isinstance(one, Refused)
        else _reduced_keys(one)
        for cancel, one in zip(cancels, answers, strict=True)
    ]
    return msgspec.json.encode({"orders": items})


def _placed_of(body: _PlacedBody | _Item) -> Placed:
    return Placed(
        order_id=body.order_id,
        client_order_id=body.client_order_id,
        filled=0 if body.fill_count is None else lots_of(body.fill_count, "fill_count"),
        remaining=None if body.remaining_count is None else lots_of(body.remaining_count, "remaining_count"),
        average_price=_micros(body.average_fill_price, "average_fill_price"),
        average_fee=_micros(body.average_fee_paid, "average_fee_paid"),
        ts_ns=body.ts_ms * MILLISECOND,
    )


def _placed_keys(placed: Placed) -> Json:
    keys: Json = {"order_id": placed.order_id}
    if placed.client_order_id:
        keys["client_order_id"] = placed.client_order_id
    keys["fill_count"] = count_text(placed.filled)
    if placed.remaining is not None:
        keys["remaining_count"] = count_text(placed.remaining)
    if placed.average_price is not None:
        keys["average_fill_price"] = money_text(placed.average_price)
    if placed.average_fee is not None:
        keys["average_fee_paid"] = money_text(placed.average_fee)
    return keys | {"ts_ms": placed.ts_ns // MILLISECOND}


def _reduced_of(body: _ReducedBody | _Item) -> Reduced:
    return Reduced(
        order_id=body.order_id,
        client_order_id=body.client_order_id,
        reduced_by=None if body.reduced_by is None else lots_of(body.reduced_by, "reduced_by"),
        remaining=None if body.remaining_count is None else lots_of(body.remaining_count, "remaining_count"),
        ts_ns=body.ts_ms * MILLISECOND,
    )


def _reduced_keys(reduced: Reduced) -> Json:
    keys: Json = {"order_id": reduced.order_id}
    if reduced.client_order_id:
        keys["client_order_id"] = reduced.client_order_id
    if reduced.reduced_by is not None:
        keys["reduced_by"] = count_text(reduced.reduced_by)
    if reduced.remaining is not None:
        keys["remaining_count"] = count_text(reduced.remaining)
    return keys | {"ts_ms": reduced.ts_ns // MILLISECOND}


def _refused_of(item: _Item) -> Refused | None:
    if item.error is not None:
        return read_refusal(0, {"error": item.error})
    if not item.order_id:
        raise WireError("an answer of a batch names neither an order nor an error")
    return None


def _error_keys(refused: Refused) -> Json:
    return {"error": refusal_body(refused)}


def _micros(dollars: Decimal | None, what: str) -> int | None:
    return None if dollars is None else micros_of(dollars, what)
