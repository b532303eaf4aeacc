"""A call of the REST interface as a value, and how its path and query are written."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, urlencode

import msgspec

from kalshi_ray.core.units import SECOND
from kalshi_ray.wire.trading import AUTO_ROUTE

Query = tuple[tuple[str, str], ...]
Word = str | int | bool | None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `template` names it in the table of costs; a batch costs that for each of its `items`."""

    method: str
    path: str  # below /trade-api/v2
    template: str
    query: Query = ()
    body: bytes = b""
    is_write: bool = False
    is_cancel: bool = False
    items: int = 1
    exchange_index: int = AUTO_ROUTE  # the shard that a write names

    @property
    def target(self) -> str:
        """Path and query as they stand in the URL; only the path is signed."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


def read_call(template: str, *names: str, query: Query = ()) -> Request:
    """A read. `names` fill the template, in order."""
    return Request(method="GET", path=_path(template, names), template=template, query=query)


def write_call(
    method: str,
    template: str,
    *names: str,
    query: Query = (),
    body: bytes = b"",
    is_cancel: bool = False,
    items: int = 1,
    shard: int = AUTO_ROUTE,
) -> Request:
    """A write of `items` orders on a shard."""
    return Request(
        method=method,
        path=_path(template, names),
        template=template,
        query=query,
        body=body,
        is_write=True,
        is_cancel=is_cancel,
        items=items,
        exchange_index=shard,
    )


def _path(template: str, names: Iterable[str]) -> str:
    """The template with its names filled in, in order."""
    parts = template.split("/")
    given = iter(names)
    return "/".join(quote(next(given), safe="") if part.startswith("{") else part for part in parts)


def query_of(**words: Word) -> Query:
    """What was said; None and empty text say nothing."""
    return tuple((key, _query_word(word)) for key, word in words.items() if word is not None and word != "")


def _query_word(word: str | int | bool) -> str:
    return str(word).lower() if isinstance(word, bool) else str(word)


def first_second(time_ns: int | None) -> int | None:
    """The exchange filters by whole seconds: the one that `time_ns` lies in."""
    return None if time_ns is None else time_ns // SECOND


def last_second(time_ns: int | None) -> int | None:
    """The second that ends at or after `time_ns`."""
    return None if time_ns is None else -(-time_ns // SECOND)
