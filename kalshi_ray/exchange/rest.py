"""What becomes of a request: answered, refused, tried again after a pause, or unclear. No sockets, no clocks.

Reads and cancels can be sent twice without harm, and are, a bounded number of times. Any other write is sent again only
if it certainly was not carried out: it never left, or the exchange said 429. Where its answer was lost it is `Unclear`,
and the caller looks it up.
"""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from enum import Enum

import msgspec

from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import (
    AuthenticationFailed,
    ExchangeDown,
    ExchangeError,
    OrderRejected,
    RateLimited,
    RequestRejected,
)
from kalshi_ray.exchange.settings import ExchangeSettings
from kalshi_ray.wire.refusals import read_error
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import Amendment, Decrease, Order, OrderStatus, Placed, Reduced, Refused

ORDERS = "/portfolio/events/orders"
STATUS = "/exchange/status"
EXISTS = "order_already_exists"
HALF_SECOND = SECOND // 2


class Loss(Enum):
    """How a request failed to get an answer."""

    NOT_SENT = "not sent"  # there was no connection
    NO_ANSWER = "no answer"  # it may have arrived


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of HTTP."""

    status: int
    body: bytes = b""
    date: str = ""  # the header


class Done(msgspec.Struct, frozen=True):
    """It was carried out; the body says how."""

    body: bytes


class Again(msgspec.Struct, frozen=True):
    """Send it once more after a pause. `overdrawn`: the exchange said that it was too much."""

    after_ns: int
    overdrawn: bool = False


class Unclear(msgspec.Struct, frozen=True):
    """It may have been carried out or not."""

    cause: str


Step = Done | Again | Unclear


class Backoff:
    """Pauses that double up to a limit; chance takes up to half of each, so that many clients do not come at once."""

    def __init__(self, settings: ExchangeSettings, chance: random.Random) -> None:
        self._first, self._most = settings.backoff_s * SECOND, settings.most_backoff_s * SECOND
        self._chance = chance

    def pause_ns(self, attempt: int) -> int:
        """The pause after failed attempt number `attempt`, from 1."""
        longest = min(self._most, self._first * 2.0 ** min(attempt - 1, 60))
        return round(longest * (1 - self._chance.random() / 2))


class Call:
    """One request until its outcome is known, or known to be unclear."""

    def __init__(self, request: Request, attempts: int, backoff: Backoff) -> None:
        self.request = request
        self.was_unclear = False  # an attempt may have been carried out unseen
        self._attempts, self._backoff = attempts, backoff
        self._made = 0

    @property
    def name(self) -> str:
        """The request in a message: never its query or body."""
        return f"{self.request.method} {self.request.path}"

    def answered(self, reply: Reply, skew_ns: int | None = None) -> Step:
        """What an answer means. Raises where the exchange says no. `skew_ns` is our clock less the exchange's."""
        self._made += 1
        if 200 <= reply.status < 300 or self._tells_all_the_same(reply):
            return Done(reply.body)
        if reply.status == 429:
            return self._again(RateLimited(f"{self.name}: too many requests", remedy="Ask for less"), overdrawn=True)
        if reply.status >= 500 or reply.status == 408:
            said = read_error(reply.status, reply.body)
            return self._lost(f"HTTP {reply.status}" + (f" {said.code or said.message}"[:120].rstrip()))
        raise refusal_error(self.request, read_error(reply.status, reply.body), skew_ns)

    def failed(self, loss: Loss, cause: str) -> Step:
        """There was no answer."""
        self._made += 1
        if loss is Loss.NOT_SENT:
            return self._again(ExchangeDown(f"{self.name}: {cause}", remedy=_REACHABLE))
        return self._lost(cause)

    def _tells_all_the_same(self, reply: Reply) -> bool:
        """An exchange that is closed says so with HTTP 503 and the body that was asked for."""
        return self.request.template == STATUS and reply.status == 503 and b"exchange_active" in reply.body

    def _lost(self, cause: str) -> Step:
        if self.request.is_write:
            self.was_unclear = True
            if not self.request.is_cancel:
                return Unclear(cause)
        return self._again(ExchangeDown(f"{self.name}: {cause}", remedy=_REACHABLE))

    def _again(self, last: ExchangeError, *, overdrawn: bool = False) -> Step:
        if self._made < self._attempts:
            return Again(self._backoff.pause_ns(self._made), overdrawn)
        if self.was_unclear:
            return Unclear(str(last))
        raise last


_REACHABLE = "`kalshi-ray doctor` says what can be reached"


def refusal_error(request: Request, refused: Refused, skew_ns: int | None = None, *, remedy: str = "") -> ExchangeError:
    """The exchange's no as an error of its kind. `remedy` is for what has none of its own."""
    if refused.status in (401, 403):
        return _authentication(refused, skew_ns)
    what = f"{request.method} {request.path}"
    is_order = request.template.startswith(ORDERS) and request.is_write
    kind = OrderRejected if is_order else RequestRejected
    details = refused.details or (refused.message if refused.message != refused.code.replace("_", " ") else "")
    return kind(what, status=refused.status, code=refused.code, details=details, remedy=remedy)


def _authentication(refused: Refused, skew_ns: int | None) -> AuthenticationFailed:
    said = " ".join((refused.code, refused.message, refused.details)).lower()
    message = f"the exchange refused the key with {refused.code or refused.message or 'no reason'}"
    if "timestamp" in said:
        off = "" if skew_ns is None else f": this clock is {skew_words(skew_ns)}"
        return AuthenticationFailed(
            f"the exchange refused the time of the signature ({refused.code}){off}",
            remedy="Set the clock of this machine, for example with NTP",
        )
    if "signature_is_missing" in said:
        return AuthenticationFailed(message, remedy="This request needs a key: set exchange.key_id and a private key")
    if "not_found" in said:
        remedy = "exchange.key_id is not known there: each environment has keys of its own"
    elif refused.status == 403:
        remedy = "The key lacks the scope, the subaccount or the location for this"
    else:
        remedy = "The private key does not belong to exchange.key_id, or not to this environment"
    return AuthenticationFailed(f"{message} {refused.details}".rstrip(), remedy=remedy)


def skew_ns(date: str, sent_ns: int, received_ns: int) -> tuple[int, int] | None:
    """Our clock less the exchange's, by the Date header of an answer, and how far that may be off. None without one."""
    try:
        theirs = int(parsedate_to_datetime(date).timestamp()) * SECOND + HALF_SECOND  # it is cut to whole seconds
    except (ValueError, TypeError, OverflowError):
        return None
    ours = (sent_ns + received_ns) // 2
    return ours - theirs, HALF_SECOND + (received_ns - sent_ns) // 2


def skew_words(skew: int) -> str:
    """A difference of clocks as people read it."""
    return f"{abs(skew) / SECOND:.1f} s {'ahead of' if skew > 0 else 'behind'} the exchange's"


def placed_of(order: Order) -> Placed:
    """The answer to a placement that was lost, from the order as it was found. It knows no averages."""
    return Placed(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        filled=order.filled,
        remaining=order.remaining,
        ts_ns=order.updated_ns or order.created_ns,
    )


def reduced_of(order: Order) -> Reduced | None:
    """The answer to a cancel that was lost, from the order as it was found; None where it is not cancelled."""
    if order.status is not OrderStatus.CANCELED:
        return None
    return Reduced(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        reduced_by=order.size - order.filled,
        ts_ns=order.updated_ns,
    )


def is_amended(order: Order, amendment: Amendment) -> bool:
    """Whether an order stands as an amendment wanted it."""
    total = amendment.size in (order.size, order.filled + order.remaining)
    return order.price == amendment.price and order.side is amendment.side and total


def is_decreased(order: Order, decrease: Decrease) -> bool:
    """Whether an order stands as a decrease wanted it. One `by` an amount cannot be told from none."""
    return decrease.to is not None and order.remaining <= decrease.to
