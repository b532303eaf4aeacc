"""JSON bodies to records of their documented keys: exact numbers, nulls as absent keys, unknown keys counted."""

from __future__ import annotations

import types
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from kalshi_ray.errors import WireError

T = TypeVar("T")

Unknown = Counter[str] | None  # "orders[].flavour": how often an undocumented key came

_any = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class Shape(Generic[T]):
    """The documented form of one body. Keys in `unread` are documented too, or were once, and say nothing we use."""

    def __init__(self, record: type[T], *, unread: frozenset[str] = frozenset()) -> None:
        self.record = record
        self.unread = unread
        self._decoder = msgspec.json.Decoder(record)
        self._keys: Any = None  # built at the first count

    def read(self, raw: bytes | str, unknown: Unknown = None) -> T:
        """The record of a body. WireError if it is not JSON or a documented key does not hold what it should."""
        try:
            body = self._decoder.decode(raw)
        except msgspec.ValidationError:
            body = self._read_without_nulls(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeError, InvalidOperation) as error:
            raise WireError(f"not JSON: {error}: {shown(raw)}") from error
        if unknown is not None:
            self._count(raw, unknown)
        return body

    def _read_without_nulls(self, raw: bytes | str) -> T:
        """A null where a default exists says what an absent key says."""
        try:
            tree = _any.decode(raw)
            return msgspec.convert(_without_nulls(tree, self._known()), self.record)
        except (msgspec.DecodeError, RecursionError, UnicodeError, InvalidOperation) as error:
            raise WireError(f"{error}: {shown(raw)}") from error

    def _count(self, raw: bytes | str, unknown: Counter[str]) -> None:
        found: Counter[str] = Counter()
        _count_keys(_any.decode(raw), self._known(), "", found)
        unknown.update({key: n for key, n in found.items() if key.rpartition(".")[2] not in self.unread})

    def _known(self) -> Any:
        if self._keys is None:
            self._keys = _keys_of(self.record)
        return self._keys


class _Known(msgspec.Struct):
    """Keys of an object, each with what is inside it and whether it may be left out."""

    keys: dict[str, tuple[Any, bool]]


def _keys_of(kind: Any) -> Any:
    """`_Known` for a record, [inner] for a list of records, None for anything else."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        fields = msgspec.structs.fields(kind)
        return _Known({f.encode_name: (_keys_of(hints[f.name]), not f.required) for f in fields})
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return next((known for known in map(_keys_of, get_args(kind)) if known is not None), None)
    if origin in (list, tuple):
        inner = _keys_of(get_args(kind)[0])
        return None if inner is None else [inner]
    return None


def _without_nulls(tree: Any, known: Any) -> Any:
    if isinstance(known, _Known) and isinstance(tree, dict):
        kept = {}
        for key, value in tree.items():
            inner, may_be_absent = known.keys.get(key, (None, True))
            if value is not None or not may_be_absent:
                kept[key] = _without_nulls(value, inner)
        return kept
    if isinstance(known, list) and isinstance(tree, list):
        return [_without_nulls(one, known[0]) for one in tree]
    return tree


def _count_keys(tree: Any, known: Any, where: str, unknown: Counter[str]) -> None:
    if isinstance(known, _Known) and isinstance(tree, dict):
        for key, value in tree.items():
            if key not in known.keys:
                unknown[f"{where}{key}"] += 1
            else:
                _count_keys(value, known.keys[key][0], f"{where}{key}.", unknown)
    elif isinstance(known, list) and isinstance(tree, list):
        for one in tree:
            _count_keys(one, known[0], f"{where.removesuffix('.')}[].", unknown)


def written(body: Any) -> bytes:
    """A body as JSON; a Decimal as a number, digit by digit."""
    return _encoder.encode(body)


def shown(raw: bytes | str) -> str:
    """The beginning of a body, for a message."""
    text = raw if isinstance(raw, str) else raw[:300].decode(errors="replace")
    return text if len(text) <= 200 else text[:200] + "…"
