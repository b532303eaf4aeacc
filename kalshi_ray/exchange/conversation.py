"""The talk of one connection: which command is due, and what answers, refusals and silence mean for subscriptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import msgspec

from kalshi_ray.exchange.feed_events import Dead, Missing
from kalshi_ray.exchange.feed_settings import FeedSettings, nanoseconds
from kalshi_ray.exchange.pending import Aim, Budget, Pending
from kalshi_ray.exchange.resync import Resync
from kalshi_ray.exchange.subscription import State, Subscription, Word
from kalshi_ray.wire.commands import (
    Action,
    Channel,
    Code,
    Command,
    ListSubscriptions,
    Subscribe,
    Unsubscribe,
    UpdateSubscription,
    write_command,
)
from kalshi_ray.wire.fast import SID_MOST
from kalshi_ray.wire.messages import Acknowledged, CommandFailed, Subscribed, Unsubscribed

# The same command may do later.
PASSING = (Code.BAD_MESSAGE.number, Code.COMMAND_TIMEOUT.number, Code.TOO_MANY_REQUESTS.number)
# The exchange sends these no longer, but was described with them for long.
ALREADY_SUBSCRIBED, MARKET_NOT_FOUND, INTERNAL_ERROR = 6, 16, 17
# One of the markets may be at fault, or their number.
OF_MARKETS = (Code.INVALID_PARAMETER.number, MARKET_NOT_FOUND, Code.MARKET_LIMIT.number)


class Ended(msgspec.Struct, frozen=True):
    """A subscription is over: what its sid said is of the past."""

    sid: int
    channel: Channel


class Conversation:
    """Subscriptions and commands of one connection. What happened is left in `events` and `ended` for the feed."""

    def __init__(self, settings: FeedSettings) -> None:
        self.subscriptions = [Subscription(channel, settings) for channel in settings.channels]
        self.by_sid: dict[int, Subscription] = {}
        self.has_acted = False  # `commands` did something the last time
        self._trades = next((one for one in self.subscriptions if one.channel is Channel.TRADE), None)
        self.resync = Resync(settings)
        self.events: list[Dead | Missing] = []
        self.ended: list[Ended] = []
        # Markets whose books the exchange was asked to stop sending, until it says that it has: what it sends of them
        # meanwhile is of the time before, and may lack what comes after.
        self.parting: Counter[str] = Counter()
        self.parted: list[str] = []  # of them, those for which that is over
        self.parts_again: list[str] = []  # those for which it begins, to be joined anew
        self._settings = settings
        self._answer_ns = nanoseconds(settings.answer_s)
        self._budget = Budget(settings.commands_per_second)
        self._pending: dict[int, Pending] = {}
        self._id = 0
        self._already: dict[str, Subscription] = {}  # by channel: the exchange has it, and did not say its sid
        self._audit_ns = nanoseconds(settings.audit_s)
        self._next_audit_ns = 0

    def lose(self) -> None:
        """The connection is gone, and with it all that was said."""
        for subscription in self.subscriptions:
            subscription.turn(Word.LOSE)
            subscription.not_before_ns = 0
        self.by_sid.clear()
        for pending in self._pending.values():
            self._note_parted(pending)
        self._pending.clear()
        self._already.clear()
        self.resync.clear()
        self._id = 0

    # -- what we say

    def commands(self, now_ns: int) -> list[bytes]:
        """What is to be sent now."""
        gave_up = self._time_out(now_ns)
        found = []
        while (chosen := self._due(now_ns)) is not None and self._budget.take(now_ns):
            found.append(write_command(self._command(*chosen, now_ns)))
        self.has_acted = bool(gave_up or found or self.ended or self.events or self.parted)
        return found

    @property
    def has_prints(self) -> bool:
        """Whether the prints come that books need, or never will."""
        trades = self._trades if self._settings.books_need_trades else None
        return trades is None or trades.state in (State.LIVE, State.REFUSED)

    def _must_wait(self, one: Subscription) -> bool:
        """Whether a book is not to be asked for yet, because prints of its market could be missed after it came."""
        trades = self._trades
        if trades is None or not (one.has_books and self._settings.books_need_trades):
            return False
        return not self.has_prints or bool(trades.to_join) or self._joins(trades)

    def _joins(self, one: Subscription) -> bool:
        """Whether markets were named that were not answered for yet."""
        return any(each.subscription is one and each.aim is Aim.JOIN for each in self._pending.values())

    def _held(self, one: Subscription) -> Collection[str]:
        """Markets whose books are not to be joined, because the exchange refuses their prints."""
        needs_trades = one.has_books and self._settings.books_need_trades
        return self._trades.refused if needs_trades and self._trades is not None else ()

    def _due(self, now_ns: int) -> tuple[Aim, Subscription | None] | None:
        for one in self.subscriptions:
            if now_ns < one.not_before_ns:
                continue
            one.ask_again(now_ns)
            if one.state is State.IDLE and one.can_ask and not self._must_wait(one):
                if not one.names_markets or one.can_join(now_ns, self._held(one)):
                    return Aim.ASK, one
                continue
            if one.state is not State.LIVE:
                continue
            if one.should_leave or one.is_unfit:
                return Aim.LEAVE, one
            if one.to_leave:
                return Aim.PART, one
            if self._must_wait(one):
                continue
            if one.can_join(now_ns, self._held(one)) and not (one.is_narrow and self._joins(one)):
                return Aim.JOIN, one
            if one.has_books and self.resync.due(now_ns, 1):
                return (Aim.LEAVE if self._is_hopeless(one) else Aim.SNAPSHOT), one
        has_any = self.by_sid or self._already
        return (Aim.AUDIT, None) if has_any and now_ns >= self._next_audit_ns else None

    def _is_hopeless(self, one: Subscription) -> bool:
        """Whether no book of the subscription is known, and asking was in vain for each."""
        return len(self.resync) == len(one.joined) and self.resync.is_hopeless(self._settings.attempts)

    def _command(self, aim: Aim, one: Subscription | None, now_ns: int) -> Command:
        self._id += 1
        tickers: tuple[str, ...] = ()
        command: Command
        if one is None:
            self._next_audit_ns = now_ns + self._audit_ns
            command = ListSubscriptions(id=self._id)
        elif aim is Aim.ASK:
            tickers = one.join(self._held(one))
            one.asked = tickers
            one.turn(Word.ASK)
            command = Subscribe(
                id=self._id,
                channels=(one.channel,),
                tickers=tickers,
                use_yes_price=self._settings.use_yes_price if one.has_books else None,
            )
        elif aim is Aim.LEAVE:
            one.turn(Word.LEAVE)
            command = Unsubscribe(id=self._id, sids=(one.sid,))
        else:
            action, tickers = self._change(aim, one, now_ns)
            command = UpdateSubscription(id=self._id, sid=one.sid, action=action, tickers=tickers)
        self._pending[self._id] = Pending(aim, one, tickers, now_ns + self._answer_ns)
        return command

    def _change(self, aim: Aim, one: Subscription, now_ns: int) -> tuple[Action, tuple[str, ...]]:
        most = self._settings.tickers_per_command
        if aim is Aim.PART:
            tickers = one.leave(most)
            if one.has_books:
                self.parting.update(tickers)
                self.parts_again += [ticker for ticker in tickers if ticker in one.wanted]
            return Action.DELETE, tickers
        if aim is Aim.JOIN:
            tickers = one.join(self._held(one))
            if one.has_books:
                self.resync.expect(tickers, now_ns)
            return Action.ADD, tickers
        tickers = self.resync.due(now_ns, most)
        if vain := self.resync.in_vain(tickers, self._settings.attempts):
            self.events.append(Missing(tickers=vain, channel=one.channel))
        one.rejoin(self.resync.stuck(tickers, self._settings.attempts))
        self.resync.ask(tickers, now_ns)
        return Action.SNAPSHOT, tickers

    def _time_out(self, now_ns: int) -> bool:
        """Give up the commands that were not answered in time. Whether there were any."""
        late = [id for id, one in self._pending.items() if one.deadline_ns <= now_ns]
        for id in late:
            pending = self._pending.pop(id)
            self._note_parted(pending)
            one = pending.subscription
            if one is None:
                continue
            if pending.aim is Aim.ASK and one.state is State.ASKED:
                one.turn(Word.DEFER)
                one.hold_back(now_ns)
            elif pending.aim is Aim.LEAVE and one.state is State.LEAVING:
                self._finish(one, Word.DEFER)
            elif pending.aim is Aim.JOIN and one.state is State.LIVE:
                # A known book was joined, whatever became of the answer.
                one.again(t for t in pending.tickers if not one.has_books or t in self.resync)
        return bool(late)

    # -- what the exchange says

    def confirmed(self, message: Subscribed, now_ns: int) -> bool:
        """A subscription answers on its sid. False where we did not ask, or have it already."""
        one = next((each for each in self.subscriptions if each.channel.value == message.channel), None)
        self._pending.pop(message.id, None)
        return one is not None and self._confirm(one, message.sid, now_ns)

    def acknowledged(self, message: Acknowledged, now_ns: int) -> bool:
        """A command was carried out. True where it confirms a subscription, as `confirmed`."""
        pending = self._pending.pop(message.id or self._first_change(message.sid), None)
        if pending is None:
            return False
        self._note_parted(pending)
        if pending.subscription is None:
            self._audit(pending, message, now_ns)
            return False
        if pending.aim is Aim.JOIN:
            pending.subscription.accepted(pending.tickers)
        return pending.aim is Aim.ASK and self._confirm(pending.subscription, message.sid, now_ns)

    def _first_change(self, sid: int) -> int:
        """The command that an answer without an id is for: the first that changes the subscription. 0: none."""
        changes = (Aim.JOIN, Aim.PART)
        one = self.by_sid.get(sid)
        return next((id for id, each in self._pending.items() if each.subscription is one and each.aim in changes), 0)

    def _audit(self, pending: Pending, message: Acknowledged, now_ns: int) -> None:
        """Subscriptions that the exchange does not list are dead. An answer without a list says nothing."""
        if message.subscriptions is None:
            return
        for channel, sid in message.subscriptions:
            if channel in self._already:
                self._confirm(self._already[channel], sid, now_ns)
        listed = {sid for _, sid in message.subscriptions}
        asked_ns = pending.deadline_ns - self._answer_ns
        for one in list(self.by_sid.values()):
            if one.state is State.LIVE and one.since_ns < asked_ns and one.sid not in listed:
                self._die(one, CommandFailed(code=0, text="no longer among the exchange's subscriptions"), now_ns)

    def _confirm(self, one: Subscription, sid: int, now_ns: int) -> bool:
        if not 0 < sid <= SID_MOST or sid in self.by_sid or one.state not in (State.IDLE, State.ASKED):
            return False
        was_late = one.state is State.IDLE
        one.turn(Word.CONFIRM)
        if was_late:
            one.joins_late(one.asked)
        one.accepted(one.joined)
        self._already.pop(one.channel.value, None)
        one.sid, one.since_ns = sid, now_ns
        self.by_sid[sid] = one
        if one.has_books:
            self.resync.expect(one.joined, now_ns)
        return True

    def unsubscribed(self, message: Unsubscribed, now_ns: int) -> None:
        """The last frame of a sid."""
        self._pending.pop(message.id, None)
        one = self.by_sid.get(message.sid)
        if one is None:
            return
        if one.state is State.LIVE:
            self.events.append(Dead(sid=one.sid, channel=one.channel, code=0, text="unsubscribed by the exchange"))
            one.hold_back(now_ns)
        self._finish(one, Word.END)

    def failed(self, message: CommandFailed, now_ns: int) -> None:
        """A command was refused, or a subscription ended."""
        pending = self._pending.pop(message.id, None)
        if pending is not None:
            self._note_parted(pending)
        is_audit = pending is not None and pending.subscription is None
        one = pending.subscription if pending and not is_audit else self.by_sid.get(message.sid)
        if message.is_terminal or message.code == INTERNAL_ERROR:
            # Where the frame does not say which subscription is dead, each may be; no list of them is none of them.
            each_may_be = [] if is_audit else list(self.by_sid.values())
            for each in [one] if one else each_may_be:
                self._die(each, message, now_ns)
        elif pending is not None and one is not None:
            self._refused(one, pending, message, now_ns)

    def _refused(self, one: Subscription, pending: Pending, message: CommandFailed, now_ns: int) -> None:
        aim = pending.aim
        is_passing = message.code in PASSING
        if is_passing:
            one.hold_back(now_ns)
        if aim is Aim.ASK and one.state is State.ASKED:
            self._refused_ask(one, pending, message, now_ns)
        elif aim is Aim.LEAVE and one.state is State.LEAVING:
            self._finish(one, Word.DEFER if is_passing else Word.END)
        elif one.state is not State.LIVE:
            return
        elif message.code == Code.UNKNOWN_SID.number:
            self._die(one, message, now_ns)
        elif aim is Aim.JOIN:
            self._refused_join(one, pending, message, now_ns)
        elif aim is Aim.PART and is_passing:
            one.to_leave |= {ticker: None for ticker in pending.tickers if ticker not in one.joined}
        elif aim is Aim.SNAPSHOT and not is_passing:
            self._refused_snapshot(one, message)

    def _refused_ask(self, one: Subscription, pending: Pending, message: CommandFailed, now_ns: int) -> None:
        if message.code in PASSING:
            one.turn(Word.DEFER)
        elif message.code == ALREADY_SUBSCRIBED:  # its confirmation did not come: the list of all has its sid
            one.turn(Word.DEFER)
            one.hold_back(now_ns)
            self._already[one.channel.value], self._next_audit_ns = one, now_ns
        elif message.code in OF_MARKETS and pending.tickers:
            one.turn(Word.DEFER)
            self._refuse_markets(one, pending.tickers, message, now_ns)
        else:
            one.turn(Word.REFUSE)
            self._tell_death(one, message, is_final=True)

    def _refused_join(self, one: Subscription, pending: Pending, message: CommandFailed, now_ns: int) -> None:
        if one.has_books:
            self.resync.drop(pending.tickers)
        one.again(pending.tickers)
        if message.code not in PASSING:
            self._refuse_markets(one, pending.tickers, message, now_ns)

    def _refuse_markets(self, one: Subscription, tickers: tuple[str, ...], message: CommandFailed, now_ns: int) -> None:
        """Some of these markets are not taken: the one that is named, all for reasons of another kind, or one alone.

        Otherwise fewer are named at once, until it is found. One too many means that there is room for no other.
        """
        if message.code in OF_MARKETS and message.ticker not in tickers and len(tickers) > 1:
            one.narrow(len(tickers))
            return
        refused = (message.ticker,) if message.ticker in tickers else tickers
        if message.code == Code.MARKET_LIMIT.number:
            refused = tuple(dict.fromkeys((*refused, *one.to_join)))
        if fresh := one.refuse(refused, now_ns):
            self.events.append(Missing(tickers=fresh, channel=one.channel, code=message.code))

    def _refused_snapshot(self, one: Subscription, message: CommandFailed) -> None:
        """A single market may be at fault; otherwise the subscription is made anew, which brings all snapshots."""
        if message.ticker:
            self.events.append(Missing(tickers=(message.ticker,), channel=one.channel, code=message.code))
        else:
            one.is_unfit = True

    # -- ends

    def _die(self, one: Subscription, message: CommandFailed, now_ns: int) -> None:
        if one.state not in (State.ASKED, State.LIVE, State.LEAVING):
            return
        self._tell_death(one, message)
        one.hold_back(now_ns)
        self._finish(one, Word.END)

    def _tell_death(self, one: Subscription, message: CommandFailed, *, is_final: bool = False) -> None:
        self.events.append(
            Dead(sid=one.sid, channel=one.channel, code=message.code, text=message.text, is_final=is_final)
        )

    def _finish(self, one: Subscription, word: Word) -> None:
        if one.sid:
            del self.by_sid[one.sid]
            self.ended.append(Ended(one.sid, one.channel))
        if one.has_books:
            self.resync.clear()
        for id in [id for id, each in self._pending.items() if each.subscription is one]:
            self._note_parted(self._pending.pop(id))
        one.turn(word)

    def _note_parted(self, pending: Pending) -> None:
        """A command is pending no longer."""
        if pending.aim is Aim.PART and pending.subscription is not None and pending.subscription.has_books:
            self.parting -= Counter(pending.tickers)
            self.parted += [ticker for ticker in pending.tickers if ticker not in self.parting]
