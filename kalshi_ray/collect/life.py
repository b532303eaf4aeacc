"""The desk's line: the lives of all markets as the exchange's stream tells them, and what we are told otherwise.

What comes here becomes rows of the markets in the register, and changes for whoever chooses what to record:

    desk = LifeLine(DESK, life_settings(combos=False), Register(), raw=True, block_ns=100_000_000)
    number = desk.enter(market_facts(market, event, series), clock())
    desk.listed(market, clock(), asked_ns)      # REST: after `take_doubt`, and now and again
    desk.signal(Signal(name="rain", value=0.3), clock())
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect import inputs
from kalshi_ray.collect.line import Line, sid_of
from kalshi_ray.collect.market_facts import ListedMarket, MarketFacts, listed_market
from kalshi_ray.collect.register import Register, Signal
from kalshi_ray.errors import UsageError
from kalshi_ray.exchange.feed_events import Broken, FeedEvent, Missed
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.listing import Event, Market
from kalshi_ray.wire.messages import EventCreated, FeeChange, MarketChange, Subscribed
from kalshi_ray.wire.trading import QueuePosition

Change = MarketChange | EventCreated | FeeChange

LIFE = (Channel.LIFECYCLE, Channel.COMBO_LIFECYCLE)
CHANGES_MOST = 100_000  # that nobody took


def life_settings(*, combos: bool) -> FeedSettings:
    """The channels of the desk's connection."""
    return FeedSettings(channels=LIFE if combos else LIFE[:1])


class LifeLine(Line):
    """One for the whole session. Its rows stand in the order in which things became known here."""

    def __init__(
        self, number: int, feed_settings: FeedSettings, register: Register, *, raw: bool, block_ns: int
    ) -> None:
        if unfit := [channel.value for channel in feed_settings.channels if channel not in LIFE]:
            raise UsageError(f"the desk's line follows lives of markets, not {', '.join(unfit)}")
        super().__init__(number, feed_settings, raw=raw, block_ns=block_ns)
        self.register = register
        self._changes: deque[Change] = deque(maxlen=CHANGES_MOST)
        self._doubt = ""

    # -- what it says

    def take_changes(self) -> list[Change]:
        """Steps in the lives of all markets of the exchange since the last time, recorded or not."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def take_doubt(self) -> str:
        """Why the stream may have left something out since the last time: ask REST. Empty: it did not."""
        doubt, self._doubt = self._doubt, ""
        return doubt

    # -- what it is told

    def enter(self, facts: MarketFacts, now_ns: int) -> int:
        """The number of a market in the session, which gets one if it has none. DataError if its grid is none."""
        now_ns = self._begin(now_ns)
        number = self.register.enter(facts)
        self._turn(now_ns, inputs.Entered(market=facts))
        return number

    def listed(self, market: Market | ListedMarket, now_ns: int, asked_ns: int = 0) -> int:
        """REST was asked at `asked_ns` (0 unknown), and said this; how many rows the tape needs for it."""
        now_ns, listed = self._begin(now_ns), listed_market(market) if isinstance(market, Market) else market
        rows = self.register.rows_of_listing(listed, now_ns, asked_ns)
        return self._add(rows, inputs.Listed(market=listed, asked_ns=asked_ns), now_ns)

    def fees_listed(self, event: Event, now_ns: int) -> int:
        """REST said this of an event's fees; how many rows the tape needs for it."""
        fee_type, factor = event.fee_type or None, event.multiplier_ppm
        return self.fees(FeeChange(event=event.ticker, fee_type=fee_type, multiplier_ppm=factor), now_ns)

    def fees(self, change: FeeChange, now_ns: int) -> int:
        """The fees of an event are these, as somebody else than the stream said; how many rows the tape needs."""
        now_ns = self._begin(now_ns)
        rows = self.register.rows_of_fees(change, now_ns)
        note = inputs.FeesListed(event=change.event, fee_type=change.fee_type, multiplier_ppm=change.multiplier_ppm)
        return self._add(rows, note, now_ns)

    def signal(self, signal: Signal, now_ns: int) -> None:
        """An external value came. UsageError for a market without a number, or a value that no row can hold."""
        now_ns = self._begin(now_ns)
        rows = self.register.signal_rows(signal, now_ns)
        self._add(rows, inputs.Signalled(name=signal.name, value=signal.value, ticker=signal.ticker), now_ns)

    def queued(self, positions: Iterable[QueuePosition], now_ns: int) -> None:
        """Where our own orders stand. It is kept in the raw lines alone."""
        self._turn(now_ns, inputs.Queued(positions=list(positions)))

    # -- inside

    def _begin(self, now_ns: int) -> int:
        """Before the register changes: what waits is judged, and the raw lines say what it knew."""
        self._judge()
        now_ns = max(now_ns, self._now_ns)
        self._open(now_ns)
        return now_ns

    def _open(self, now_ns: int) -> None:
        was_opened, register = self._is_opened, self.register
        super()._open(now_ns)
        if not was_opened and (register.known or register.grids or register.signals):
            self._note(inputs.Resumed(register.known, register.grids, register.signals), now_ns)

    def _add(self, rows: NDArray[np.void], note: inputs.Note, now_ns: int) -> int:
        """Rows and the note that they come from; of what says nothing new there is neither."""
        if len(rows):
            self._turn(now_ns, note)
            self._append(rows)
        return len(rows)

    def _read(self, frames: Sequence[bytes], times: NDArray[np.int64]) -> None:
        for raw, now_ns in zip(frames, times.tolist()):
            for event in self._feed.receive(raw, now_ns):
                self._hear(event, now_ns)
        return None

    def _gather(self, events: Iterable[FeedEvent]) -> None:
        for event in events:
            self._hear(event, self._now_ns)

    def _hear(self, event: FeedEvent, now_ns: int) -> None:
        register = self.register
        if isinstance(event, MarketChange):
            self._append(register.rows_of_change(event, now_ns, self._sid))
        elif isinstance(event, FeeChange):
            self._append(register.rows_of_fees(event, now_ns, self._sid))
        elif isinstance(event, Missed | Broken):
            self._doubt = self._doubt or "frames are missing"
        elif isinstance(event, Subscribed):
            self._doubt = "the stream was not there until now"
        if isinstance(event, Change):
            if len(self._changes) == CHANGES_MOST:
                self._doubt = "more changes came than were taken"
            self._changes.append(event)
        super()._gather([event])

    @property
    def _sid(self) -> int:
        return sid_of(self.number, Channel.LIFECYCLE)
