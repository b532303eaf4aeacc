"""The markets of a collector while it runs: which join, which leave and why, and whose result is waited for. No I/O.

    universe.found(await listing.choose(settings), now)
    step = universe.step(now)             # then, until `next_ns` or a message:
    universe.looked(await listing.refresh(step.look), now)
    joins = universe.described(await listing.facts(step.describe), now)    # these join now
    ... step.leaves leave; if step.search: universe.found(await listing.search(settings), now)

Life-cycle messages of every market go to `heard`. A market joins once: one that left does not come back, unless it left
because the exchange did not list it, and is found again.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable

from kalshi_ray.collect.choice import (
    SETTLED,
    Described,
    Found,
    Listed,
    Looked,
    drop_of,
    is_in_categories,
    state_of,
    state_of_status,
)
from kalshi_ray.collect.settings import UniverseSettings
from kalshi_ray.collect.stages import FOREVER, PAUSE_NS, Leave, Member, Origin, Reason, Stage, Step
from kalshi_ray.core.units import SECOND
from kalshi_ray.wire.listing import Market
from kalshi_ray.wire.messages import EventCreated, MarketChange

GRACE_NS = SECOND  # after a scheduled open or close, before the exchange is asked whether it happened
TRIES = 5  # a market that is not listed so often is given up; a new one may be missing for seconds
GONE_NS = 600 * SECOND  # one that is recorded has to be missing for so long, too
PATIENCE = 3  # so often a market is asked for whose event or series is not listed; then it is recorded without
AT_ONCE = 500  # markets to be described in one step
MOST_CANDIDATES = 10_000  # markets of messages that may belong here; the next search finds those beyond
OVER = ("closed", SETTLED)


class Universe:
    """The markets of one collector. Times never go back."""

    def __init__(self, settings: UniverseSettings, now_ns: int) -> None:
        self.settings = settings
        self.left: Counter[Reason] = Counter()
        self._members: dict[str, Member] = {}
        self._gone: set[str] = set()  # for good; as many as the session has markets
        self._away: set[str] = set()  # not listed any more; they may be found again
        self._limited: set[str] = set()  # those the limit counts
        self._candidates: set[str] = set()
        self._events = set(settings.events)  # chosen, and those created in chosen series
        self._strangers: set[str] = set()  # events that are not
        self._queue: list[tuple[int, str]] = []
        self._soon: dict[str, None] = {}  # to be looked at in the next step
        self._leaves: list[Leave] = []
        self._search_ns = FOREVER
        self._is_searching = False
        self._refresh_ns = FOREVER
        self._plan_refresh(now_ns)
        self._plan_search(now_ns)

    # -- what it is

    @property
    def stages(self) -> dict[Stage, int]:
        """Markets by how far they have come."""
        counts = Counter(member.stage for member in self._members.values())
        return {stage: counts[stage] for stage in Stage}

    @property
    def can_grow(self) -> bool:
        """Whether markets may join that are not known yet."""
        return bool(self.settings.discover or self.settings.series or self.settings.events)

    @property
    def is_over(self) -> bool:
        """Every market left, and none can join."""
        return not self._members and not self._leaves and not self.can_grow

    @property
    def next_ns(self) -> int:
        """When `step` has something to say, if nothing happens before."""
        if self._leaves or self._soon:
            return 0
        first = self._queue[0][0] if self._queue else FOREVER
        return min(first, self._refresh_ns, FOREVER if self._is_searching else self._search_ns)

    # -- what is told

    def found(self, found: Found, now_ns: int) -> None:
        """The answer of a search. Those that are new join as far as the limit allows."""
        self._is_searching = False
        self._plan_search(now_ns)
        for market in found.named:
            self._choose(market.ticker, Origin.NAMED, now_ns)
        for market in found.others:
            if len(self._limited) >= self.settings.limit:
                return
            self._choose(market.ticker, Origin.CHOSEN, now_ns)

    def not_found(self, now_ns: int) -> None:
        """A search failed: there will be another."""
        self._is_searching = False
        self._search_ns = now_ns + PAUSE_NS[1]

    def keep(self, tickers: Iterable[str], now_ns: int) -> None:
        """Markets recorded in an earlier life of the session go on, whatever the filters say."""
        for ticker in tickers:
            named = ticker in self.settings.tickers
            self._choose(ticker, Origin.NAMED if named else Origin.KEPT, now_ns)

    def doubt(self, now_ns: int) -> None:
        """Messages may have been lost: look at every market, and search again."""
        self._look_at_all()
        if self.can_grow:
            self._search_ns = min(self._search_ns, now_ns)

    def heard(self, message: MarketChange | EventCreated, now_ns: int) -> None:
        """A life-cycle message, of any market."""
        if isinstance(message, EventCreated):
            if message.series in self.settings.series:
                self._events.add(message.event)
            return
        member = self._members.get(message.ticker)
        if member is None:
            self._wonder(message, now_ns)
        elif member.stage in (Stage.CANDIDATE, Stage.JOINING):
            member.is_doubted = True  # what was asked may be older than this
        else:
            member.open_ns = member.open_ns if message.open_ns is None else message.open_ns
            member.close_ns = member.close_ns if message.close_ns is None else message.close_ns
            member.result = message.result or member.result
            state = member.state if message.status is None else state_of_status(message.status)
            # Without the result REST has the last word: it may know one that was never heard.
            is_sure = state != SETTLED or bool(member.result)
            self._move(member, state if is_sure else "closed", now_ns)
            if not is_sure and not member.is_asked:
                self._soon[member.ticker] = None

    def looked(self, looked: Looked, now_ns: int) -> None:
        """What the exchange says of markets that were looked at."""
        for market in looked.markets:
            member = self._answered(market.ticker)
            if member is not None and member.stage in (Stage.RECORDED, Stage.CLOSED):
                self._see(member, market, now_ns)
        self._not_answered(looked.unlisted, looked.failed, now_ns)

    def described(self, described: Described, now_ns: int) -> list[Listed]:
        """What the exchange lists about markets that may join; those that join now."""
        joins = []
        for listed in described.listed:
            member = self._answered(listed.market.ticker)
            if (
                member is not None
                and self._is_whole(member, listed, now_ns)
                and self._is_wanted(member, listed, now_ns)
            ):
                self._candidates.discard(member.ticker)
                member.stage = Stage.RECORDED
                self._see(member, listed.market, now_ns)
                if member.is_doubted and member.ticker in self._members:
                    self._soon[member.ticker] = None
                joins.append(listed)
        self._not_answered(described.unlisted, described.failed, now_ns)
        return joins

    def unfit(self, ticker: str, why: str) -> None:
        """A market that joined cannot be recorded."""
        self._leave(self._members[ticker], Reason.UNFIT, f"it cannot be recorded: {why}")

    # -- what is to be done

    def step(self, now_ns: int) -> Step:
        """What to do now."""
        if now_ns >= self._refresh_ns:
            self._plan_refresh(now_ns)
            self._look_at_all()
        describe: list[str] = []
        while self._queue and self._queue[0][0] <= now_ns and len(describe) < AT_ONCE:
            due_ns, ticker = heapq.heappop(self._queue)
            member = self._members.get(ticker)
            if member is None or member.queued_ns != due_ns:
                continue
            member.queued_ns = FOREVER
            if now_ns >= member.leave_ns:
                result = f"its result is {member.result}, and not paid yet" if member.result else "it has no result yet"
                self._leave(member, Reason.UNSETTLED, f"closed for {self.settings.settled_s:g} s, and {result}")
            elif member.stage in (Stage.CANDIDATE, Stage.JOINING):
                member.is_asked = True
                describe.append(ticker)
            elif not member.is_asked:
                self._soon[ticker] = None
        look = tuple(ticker for ticker in self._soon if ticker in self._members)
        for ticker in look:
            self._members[ticker].is_asked = True
        self._soon.clear()
        search = not self._is_searching and now_ns >= self._search_ns
        self._is_searching |= search
        leaves, self._leaves = tuple(self._leaves), []
        self._limited.difference_update(leave.ticker for leave in leaves)  # not before it is told: the limit holds
        return Step(look=look, describe=tuple(describe), leaves=leaves, search=search)

    # -- one market

    def _choose(self, ticker: str, origin: Origin, now_ns: int) -> None:
        """A market is to join, unless it is here already or was."""
        member = self._members.get(ticker)
        if ticker in self._gone or (member is not None and member.stage is not Stage.CANDIDATE):
            return
        if member is None:
            member = self._members[ticker] = Member(ticker, origin, Stage.JOINING, look_ns=now_ns)
            self._is_back(ticker)
        else:
            self._candidates.discard(ticker)
            member.origin, member.stage, member.look_ns = origin, Stage.JOINING, now_ns
        if origin is not Origin.NAMED:
            self._limited.add(ticker)
        self._schedule(member)

    def _wonder(self, message: MarketChange, now_ns: int) -> None:
        """A market that is not here: it may belong to a chosen series or event."""
        is_new = message.change in ("created", "activated") and message.ticker not in self._gone
        chosen = self.settings.series or self.settings.events
        if not is_new or not chosen or message.event in self._strangers:
            return
        if message.event and not self.settings.series and message.event not in self._events:
            return
        if len(self._candidates) >= MOST_CANDIDATES:
            self._search_ns = min(self._search_ns, now_ns)
            return
        self._candidates.add(message.ticker)
        # One that was just created is not listed at once.
        look_ns = now_ns + GRACE_NS if message.change == "created" else now_ns
        member = self._members[message.ticker] = Member(message.ticker, Origin.CHOSEN, Stage.CANDIDATE, look_ns=look_ns)
        self._is_back(message.ticker)
        self._schedule(member)

    def _is_back(self, ticker: str) -> None:
        if ticker in self._away:
            self._away.discard(ticker)
            self.left[Reason.UNLISTED] -= 1

    def _is_whole(self, member: Member, listed: Listed, now_ns: int) -> bool:
        """Whether all is known of a market that ever will be; otherwise it is asked for again."""
        member.lacking = member.lacking + 1 if listed.lacks else 0
        if not 0 < member.lacking < PATIENCE:
            return True
        member.look_ns = now_ns + PAUSE_NS[0]
        self._schedule(member)
        return False

    def _is_wanted(self, member: Member, listed: Listed, now_ns: int) -> bool:
        """Whether a market that was described joins; one that does not is forgotten, or asked for at its open."""
        market, event, series = listed.market, listed.event.ticker, listed.series.ticker
        settled = state_of(market) == SETTLED
        if member.stage is Stage.JOINING:
            if settled and member.origin is Origin.CHOSEN:
                self._forget(member)
                return False
            return True
        is_ours = event in self._events or series in self.settings.series
        if not is_ours:
            if len(self._strangers) >= MOST_CANDIDATES:
                self._strangers.clear()
            self._strangers.add(event)
        categories = (listed.event.category, listed.series.category)
        passes = is_ours and not settled and is_in_categories(self.settings, *categories)
        if passes and drop_of(market, self.settings, combos=True) is None and self._has_room():
            self._limited.add(member.ticker)
            return True
        if passes and self.settings.status == "open" and state_of(market) == "unopened" and market.open_ns > now_ns:
            member.look_ns = market.open_ns + GRACE_NS  # nobody says that it opens
            self._schedule(member)
        else:
            self._forget(member)
        return False

    def _has_room(self) -> bool:
        return len(self._limited) < self.settings.limit

    def _see(self, member: Member, market: Market, now_ns: int) -> None:
        """What REST says of a market counts, whatever was heard."""
        member.open_ns, member.close_ns = market.open_ns, market.close_ns
        member.result = market.result or member.result
        self._move(member, state_of(market) or member.state, now_ns)

    def _move(self, member: Member, state: str, now_ns: int) -> None:
        """A market is in this state now."""
        if state == SETTLED:
            result = member.result or "not told"
            self._leave(member, Reason.SETTLED, f"settled, its result is {result}")
            return
        if state != member.state:
            member.state, member.pause_ns = state, PAUSE_NS[0]
        if state in OVER and member.stage is Stage.RECORDED:
            member.stage = Stage.CLOSED
            member.leave_ns = now_ns + round(self.settings.settled_s * SECOND)
        elif state not in OVER and member.stage is Stage.CLOSED:  # its close moved
            member.stage, member.leave_ns = Stage.RECORDED, FOREVER
        self._plan_look(member, now_ns)

    def _plan_look(self, member: Member, now_ns: int) -> None:
        """When the exchange is asked about a market next: it says of no open and no close that it happened."""
        again_ns = now_ns + member.pause_ns
        if member.stage is Stage.CLOSED:
            member.look_ns = again_ns
        else:
            opens = member.open_ns if member.state == "unopened" else 0
            moments = [at_ns + GRACE_NS for at_ns in (opens, member.close_ns) if at_ns]
            member.look_ns = min((max(at_ns, again_ns) for at_ns in moments), default=FOREVER)
        self._schedule(member)

    def _answered(self, ticker: str) -> Member | None:
        member = self._members.get(ticker)
        if member is not None:
            # A look that changed nothing is repeated later and later.
            member.pause_ns = min(2 * member.pause_ns, PAUSE_NS[1]) if member.is_asked else member.pause_ns
            member.is_asked, member.unlisted = False, 0
        return member

    def _not_answered(self, unlisted: Collection[str], failed: Collection[str], now_ns: int) -> None:
        for ticker in (*unlisted, *failed):
            member = self._members.get(ticker)
            if member is None:
                continue
            member.is_asked = False
            if ticker in unlisted:
                member.unlisted_ns = member.unlisted_ns if member.unlisted else now_ns
                member.unlisted += 1
            is_recorded = member.stage in (Stage.RECORDED, Stage.CLOSED)
            if member.unlisted < TRIES or (is_recorded and now_ns - member.unlisted_ns < GONE_NS):
                member.look_ns = now_ns + member.pause_ns
                member.pause_ns = min(2 * member.pause_ns, PAUSE_NS[1])
                self._schedule(member)
            elif member.stage is Stage.CANDIDATE:
                self._forget(member)
            else:
                self._leave(member, Reason.UNLISTED, f"the exchange did not list it {member.unlisted} times in a row")

    def _leave(self, member: Member, reason: Reason, words: str) -> None:
        was_recorded = member.stage in (Stage.RECORDED, Stage.CLOSED)
        del self._members[member.ticker]
        (self._away if reason is Reason.UNLISTED else self._gone).add(member.ticker)
        self.left[reason] += 1
        self._leaves.append(Leave(ticker=member.ticker, reason=reason, words=words, was_recorded=was_recorded))

    def _forget(self, member: Member) -> None:
        self._candidates.discard(member.ticker)
        self._limited.discard(member.ticker)
        del self._members[member.ticker]

    # -- times

    def _schedule(self, member: Member) -> None:
        """Have the market met by `step` when something is due."""
        due_ns = min(member.look_ns, member.leave_ns)
        if due_ns != member.queued_ns and due_ns != FOREVER:
            heapq.heappush(self._queue, (due_ns, member.ticker))
        member.queued_ns = due_ns

    def _look_at_all(self) -> None:
        recorded = (Stage.RECORDED, Stage.CLOSED)
        self._soon |= {t: None for t, one in self._members.items() if one.stage in recorded and not one.is_asked}

    def _plan_refresh(self, now_ns: int) -> None:
        self._refresh_ns = now_ns + round(self.settings.refresh_s * SECOND) if self.settings.refresh_s else FOREVER

    def _plan_search(self, now_ns: int) -> None:
        is_on = self.can_grow and self.settings.rediscover_s
        self._search_ns = now_ns + round(self.settings.rediscover_s * SECOND) if is_on else FOREVER
