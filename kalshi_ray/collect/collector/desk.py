"""The desk of a collector: which markets there are, what becomes of them, and everything that no market line brings.

It has the session's line 0. What it learns of markets over REST, from the life-cycle channel and from signals becomes
rows there; what joins and leaves is told to the fleet.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from kalshi_ray import telemetry
from kalshi_ray.collect.block import DESK, Block
from kalshi_ray.collect.choice import Found, Listed, Looked
from kalshi_ray.collect.collector.fleet import Fleet
from kalshi_ray.collect.collector.listing import ExchangeListing
from kalshi_ray.collect.collector.writing import Writing
from kalshi_ray.collect.life import LifeLine, life_settings
from kalshi_ray.collect.market_facts import market_facts
from kalshi_ray.collect.register import Register, Signal
from kalshi_ray.collect.settings import CollectSettings, UniverseSettings
from kalshi_ray.collect.universe import Universe
from kalshi_ray.core.units import SECOND
from kalshi_ray.data.recording import ROW
from kalshi_ray.errors import DataError
from kalshi_ray.exchange.client import Stream
from kalshi_ray.exchange.settings import Address, ExchangeSettings
from kalshi_ray.exchange.sign import Signer
from kalshi_ray.wire.messages import EventCreated, FeeChange

STEP_S = 0.1


class Desk:
    """One of a collector. `counts` says how often what was heard, by name."""

    def __init__(
        self,
        settings: UniverseSettings,
        collect: CollectSettings,
        register: Register,
        listing: ExchangeListing,
        fleet: Fleet,
        writing: Writing,
        clock: Callable[[], int],
    ) -> None:
        self.settings, self.collect = settings, collect
        self.universe = Universe(settings, clock())
        self.line = LifeLine(
            DESK,
            life_settings(combos=settings.combos),
            register,
            raw=collect.raw,
            block_ns=round(collect.block_s * SECOND),
        )
        self._happenings: list[str] = []
        self.counts: Counter[str] = Counter()
        self.stream: Stream[Block] | None = None
        self._listing, self._fleet, self._writing, self._clock = listing, fleet, writing, clock
        self._search: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # facts are on the disk before rows that refer to them, however long that takes
        self._queue_at = clock()

    def take_happenings(self) -> list[str]:
        """What is worth telling since the last time."""
        happened, self._happenings = self._happenings, []
        return happened

    @property
    def register(self) -> Register:
        """Numbers, grids and signals of the session."""
        return self.line.register

    async def begin(self, found: Found, kept: Iterable[str]) -> None:
        """Record the markets of the first search, and those of an earlier life."""
        # Signals may have come already, which wait in the line: from here on the spool waits for them.
        await self._writing.append([Block(line=DESK, rows=np.empty(0, ROW))])
        self.universe.found(found, self._clock())
        self.universe.keep(kept, self._clock())
        await self._step()

    async def listen(self, address: Address, signer: Signer | None, settings: ExchangeSettings) -> None:
        """Follow the life cycles until `close`."""
        self.stream = Stream(address, signer, settings, [self.line], random.Random(DESK), clock=self._clock)
        async with self.stream as stream:
            async for block in stream:
                await self._write([block])

    async def work(self) -> None:
        """Whatever is due, again and again."""
        while not self.universe.is_over:
            await asyncio.sleep(STEP_S)
            await self._step()
            if self.collect.queue_positions_s and self._clock() >= self._queue_at:
                self._queue_at = self._clock() + round(self.collect.queue_positions_s * SECOND)
                await self._ask_queue()

    async def close(self) -> None:
        """No more steps, and the last blocks. Call once `work` has ended."""
        if self._search is not None:
            self._search.cancel()
            await asyncio.gather(self._search, return_exceptions=True)
        if self.stream is not None:
            await self.stream.close()

    async def finish(self) -> None:
        """The line is over: after `listen` has ended."""
        await self._write(self.line.finish(self._clock()))

    async def given_up(self, over: Sequence[Block], markets: Iterable[str]) -> None:
        """A shard is gone: its lines end, its markets get others."""
        await self._write(over)
        await self._place(markets)

    def signal(self, signal: Signal) -> int:
        """An external value came; when that was. UsageError where no row can hold it."""
        now = self._clock()
        self.line.signal(signal, now)
        self.counts["signals"] += 1
        return now

    # -- steps

    async def _step(self) -> None:
        """Hear what came, ask what is to be asked, and let markets join and leave."""
        universe = self.universe
        if self._search is not None and self._search.done():
            self._search.result()  # a fault of it is ours
        for change in self.line.take_changes():
            if not isinstance(change, FeeChange):
                universe.heard(change, self._clock())
            if isinstance(change, EventCreated):
                self.counts["events created"] += 1
        if doubt := self.line.take_doubt():
            if self.counts["doubts"]:  # the first is that nobody listened before
                self._happenings.append(f"life cycles may be incomplete: {doubt}; every market is looked at")
            self.counts["doubts"] += 1
            universe.doubt(self._clock())
        step = universe.step(self._clock())
        if step.look:
            await self._look(step.look)
        if step.describe:
            await self._join(step.describe)
        if step.search:
            self._search = asyncio.get_running_loop().create_task(self._search_again())
        for leave in step.leaves:
            self._happenings.append(f"{leave.ticker} leaves: {leave.words}")
        await self._leave([leave.ticker for leave in step.leaves if leave.was_recorded])

    async def _look(self, tickers: Sequence[str]) -> None:
        asked = self._clock()
        looked = await self._listing.refresh(tickers)
        older = {one.ticker: "heard of since" for one in looked.markets if self.register.is_older(one, asked)}
        for market in looked.markets:
            self.counts["rows of looks"] += self.line.listed(market, self._clock(), asked)
        self._tell_failures(looked.failed)
        # What the tape does not take counts for nobody: no market may leave with a result that was never told.
        markets = tuple(one for one in looked.markets if one.ticker not in older)
        self.universe.looked(
            Looked(markets=markets, unlisted=looked.unlisted, failed=looked.failed | older), self._clock()
        )

    async def _join(self, tickers: Sequence[str]) -> None:
        asked = self._clock()
        described = await self._listing.facts(tickers)
        self._tell_failures(described.failed)
        joins = self.universe.described(described, self._clock())
        entered = [listed for listed in joins if self._enter(listed, asked)]
        await self._place(listed.market.ticker for listed in entered)

    def _enter(self, listed: Listed, asked_ns: int) -> bool:
        """A number for a market, and what else is known of it; what changed of one that was here in an earlier life."""
        ticker = listed.market.ticker
        was_here = ticker in self.register
        try:
            self.line.enter(market_facts(listed.market, listed.event, listed.series), self._clock())
        except DataError as problem:
            telemetry.error("collect.market_refused", ticker=ticker, problem=str(problem))
            self.universe.unfit(ticker, str(problem))
            return False
        if listed.lacks:
            self._happenings.append(
                f"{ticker} is recorded without {listed.lacks}, which the exchange does not list: its fees count as the"
                " dearest usual ones"
            )
        self.line.listed(listed.market, self._clock(), asked_ns)
        if was_here:
            self.line.fees_listed(listed.event, self._clock())
        return True

    async def _place(self, tickers: Iterable[str]) -> None:
        numbers = {ticker: self.register.numbers[ticker] for ticker in tickers}
        if numbers:
            async with self._turn:
                await self._note_facts()
            events = {ticker: self.register.known[number].facts.row.event for ticker, number in numbers.items()}
            await self._fleet.place(numbers, events)

    async def _leave(self, tickers: Sequence[str]) -> None:
        there = [ticker for ticker in tickers if ticker in self._fleet.assignment]
        if there:
            await self._fleet.leave(there)

    async def _search_again(self) -> None:
        try:
            self.universe.found(await self._listing.search(self.settings), self._clock())
        except self._listing.passing as problem:
            self.universe.not_found(self._clock())
            self._happenings.append(f"the search for markets failed, and is done again: {problem}")

    def _tell_failures(self, failed: dict[str, str]) -> None:
        for why, count in Counter(failed.values()).items():
            what = "1 market" if count == 1 else f"{count:,} markets"
            self._happenings.append(f"{what} could not be read, to be asked for again: {why}")

    async def _ask_queue(self) -> None:
        positions = await self._listing.queue_positions(tuple(self._fleet.assignment))
        if positions:
            self.line.queued(positions, self._clock())
            self.counts["queue positions"] += len(positions)

    async def _write(self, blocks: Sequence[Block]) -> None:
        if blocks:
            async with self._turn:
                await self._note_facts()  # which their rows may refer to
                await self._writing.append(blocks)

    async def _note_facts(self) -> None:
        if facts := self.register.take_facts():
            await self._writing.note(facts)
