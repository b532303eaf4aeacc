"""Periods of a market: minutes as they pass, hours and days made of them."""

from __future__ import annotations

from kalshi_ray.core.units import CONTRACT, DOLLAR, SECOND
from kalshi_ray.exchange.simulator.display import Touch
from kalshi_ray.exchange.simulator.flow import NO_ASK, NO_BID
from kalshi_ray.wire.listing import Candle

MINUTE_NS = 60 * SECOND
DAY_NS = 24 * 60 * MINUTE_NS
_EMPTY: Touch = (NO_BID, NO_ASK, 0, 0)


class Span:
    """Open, low, high and close of something in one period."""

    __slots__ = ("close", "high", "low", "open")

    def __init__(self, value: int) -> None:
        self.open = self.high = self.low = self.close = value

    def note(self, value: int) -> None:
        """It has another value now."""
        self.close = value
        self.high, self.low = max(self.high, value), min(self.low, value)

    def join(self, later: Span) -> None:
        """A period that follows belongs to this one."""
        self.close = later.close
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)

    def copy(self) -> Span:
        """Another record of the same."""
        other = Span(self.open)
        other.high, other.low, other.close = self.high, self.low, self.close
        return other

    @property
    def prices(self) -> tuple[int, int, int, int]:
        """As a candle has them."""
        return self.open, self.low, self.high, self.close


class Minute:
    """One period: best prices, prints, and the sums they need."""

    __slots__ = ("ask", "bid", "open_interest", "paid", "previous", "price", "volume")

    def __init__(self, bid: Span | None, ask: Span | None, previous: int | None) -> None:
        self.bid, self.ask, self.previous = bid, ask, previous
        self.price: Span | None = None
        self.volume = self.paid = self.open_interest = 0


class CandleHistory:
    """Minutes in which something happened, by number since the epoch."""

    def __init__(self) -> None:
        self.minutes: dict[int, Minute] = {}
        self._touch = _EMPTY
        self._last: int | None = None

    def note_state(self, now_ns: int, touch: Touch, open_interest: int) -> None:
        """The best prices and the open interest as they are now."""
        minute = self._minute(now_ns)
        minute.open_interest = open_interest
        self._touch = touch
        bid, ask = max(0, touch[0]), min(DOLLAR, touch[1])
        if minute.bid is None or minute.ask is None:
            minute.bid, minute.ask = Span(bid), Span(ask)
        else:
            minute.bid.note(bid)
            minute.ask.note(ask)

    def note_trade(self, now_ns: int, price: int, lots: int) -> None:
        """A print."""
        minute = self._minute(now_ns)
        if minute.price is None:
            minute.price = Span(price)
        else:
            minute.price.note(price)
        minute.volume += lots
        minute.paid += lots * price
        self._last = price

    def _minute(self, now_ns: int) -> Minute:
        number = now_ns // MINUTE_NS
        found = self.minutes.get(number)
        if found is None:
            quoted = bool(self.minutes)
            bid = Span(max(0, self._touch[0])) if quoted else None
            ask = Span(min(DOLLAR, self._touch[1])) if quoted else None
            found = self.minutes[number] = Minute(bid, ask, self._last)
        return found

    def volume_since(self, now_ns: int) -> int:
        """Lots of the last day, by whole minutes."""
        first, lots = (now_ns - DAY_NS) // MINUTE_NS, 0
        for number, minute in reversed(self.minutes.items()):
            if number <= first:
                break
            lots += minute.volume
        return lots

    def candles(self, start_ns: int, end_ns: int, minutes: int) -> tuple[Candle, ...]:
        """Periods of that many minutes that end in [start, end]; those without a change are left out."""
        length, periods = minutes * MINUTE_NS, dict[int, Minute]()
        for number, minute in self.minutes.items():
            end = (number * MINUTE_NS // length + 1) * length
            if not start_ns <= end <= end_ns:
                continue
            if end not in periods:
                periods[end] = _copy(minute)
            else:
                _join(periods[end], minute)
        return tuple(_candle(end, minute) for end, minute in sorted(periods.items()))


def _copy(minute: Minute) -> Minute:
    bid, ask = minute.bid and minute.bid.copy(), minute.ask and minute.ask.copy()
    other = Minute(bid, ask, minute.previous)
    other.price = minute.price and minute.price.copy()
    other.volume, other.paid, other.open_interest = minute.volume, minute.paid, minute.open_interest
    return other


def _join(period: Minute, minute: Minute) -> None:
    for name in ("bid", "ask", "price"):
        span, later = getattr(period, name), getattr(minute, name)
        if span is None:
            setattr(period, name, later and later.copy())
        elif later is not None:
            span.join(later)
    period.volume += minute.volume
    period.paid += minute.paid
    period.open_interest = minute.open_interest


def _candle(end_ns: int, minute: Minute) -> Candle:
    return Candle(
        end_ns=end_ns,
        bid=minute.bid.prices if minute.bid else None,
        ask=minute.ask.prices if minute.ask else None,
        price=minute.price.prices if minute.price else None,
        volume=minute.volume,
        open_interest=minute.open_interest,
        mean=minute.paid * CONTRACT // minute.volume if minute.volume else None,
        previous=minute.previous,
    )
