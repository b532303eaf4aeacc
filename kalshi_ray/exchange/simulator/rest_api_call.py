"""One request as a handler sees it, and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.simulator.accounts import SUBACCOUNTS, Account
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.limits import Limits
from kalshi_ray.wire.refusals import RequestRefused, write_error
from kalshi_ray.wire.trading import AUTO_ROUTE, Refused

JSON = (("content-type", "application/json"),)


class Delivery(Enum):
    """What becomes of an answer on its way. Only planned faults withhold one."""

    SENT = "sent"
    SILENT = "silent"  # the connection stays open and nothing comes
    HANG_UP = "hang up"  # the connection ends instead


class Response(msgspec.Struct, frozen=True):
    """An answer of HTTP."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = JSON
    delivery: Delivery = Delivery.SENT


def refused(no: Refused) -> Response:
    """The answer that says no."""
    return Response(no.status, write_error(no))


def wrong_parameter(name: str, details: str) -> RequestRefused:
    """A query that says something impossible."""
    message = f"Parameter validation failed: {name}: {details}"
    return RequestRefused(Refused(status=400, code="", message=message))


class Call:
    """A request that was understood: whose it is, the names in its path, its query and its body."""

    __slots__ = ("_account", "_query", "body", "exchange", "limits", "names", "now_ns")

    def __init__(
        self,
        exchange: Exchange,
        limits: Limits,
        account: Account | None,
        names: Sequence[str],
        query: Mapping[str, Sequence[str]],
        body: bytes,
        now_ns: int,
    ) -> None:
        self.exchange, self.limits, self.names, self.body, self.now_ns = exchange, limits, names, body, now_ns
        self._account, self._query = account, query

    @property
    def account(self) -> Account:
        """Who asks; routes that need one are signed."""
        assert self._account is not None
        return self._account

    def word(self, name: str) -> str:
        """One word of the query, empty if it is not there."""
        found = self._query.get(name)
        return found[-1] if found else ""

    def words(self, name: str, most: int = 1_000) -> list[str]:
        """A list, with commas or given again."""
        found = [word for text in self._query.get(name, ()) for word in text.split(",") if word]
        if len(found) > most:
            raise wrong_parameter(name, f"at most {most}")
        return found

    def choice(self, name: str, known: Sequence[str]) -> str:
        """One of some words, or empty."""
        found = self.word(name)
        if found and found not in known:
            raise wrong_parameter(name, f"one of {', '.join(known)}")
        return found

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number between bounds."""
        text = self.word(name)
        if not text:
            return None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20) or not least <= int(text) <= most:
            raise wrong_parameter(name, f"a whole number from {least} to {most}")
        return int(text)

    def flag(self, name: str) -> bool | None:
        """true, false, or nothing."""
        text = self.choice(name, ("true", "false"))
        return None if not text else text == "true"

    def limit(self, usual: int = 100, most: int = 1_000) -> int:
        """Items of a page."""
        return self.number("limit", 1, most) or usual

    def first_ns(self, name: str) -> int:
        """The beginning of a period, in seconds on the wire; 0 without."""
        return (self.number(name, 0, 2**33) or 0) * SECOND

    def last_ns(self, name: str) -> int:
        """The end of a period, its second included; 0 without."""
        second = self.number(name, 0, 2**33)
        return 0 if second is None else (second + 1) * SECOND - 1

    @property
    def subaccount(self) -> int | None:
        """The subaccount that the query names."""
        return self.number("subaccount", 0, SUBACCOUNTS - 1)

    @property
    def shard(self) -> int | None:
        """The shard that the query names."""
        return self.number("exchange_index", AUTO_ROUTE, 99)
