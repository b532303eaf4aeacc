"""All WebSocket connections of an exchange, without their sockets.

session = stream.open(headers, now_ns)     # Refused where the handshake is not signed
session.receive(text, now_ns)
stream.publish(now_ns)                     # what happened on the exchange since the last time
for frame in session.send_due(now_ns): ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.auth import Auth
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.faults import Faults
from kalshi_ray.exchange.simulator.outbox import Private, Public
from kalshi_ray.exchange.simulator.stream_frames import Bodies
from kalshi_ray.exchange.simulator.stream_index import Index, Subscription
from kalshi_ray.exchange.simulator.stream_session import Session
from kalshi_ray.exchange.simulator.stream_settings import StreamSettings
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.messages import BookDelta, Trade
from kalshi_ray.wire.trading import (
    FillMessage,
    OrderMessage,
    PositionMessage,
    Refused,
    TickerMessage,
)

PATH = "/trade-api/ws/v2"
COMBOS = "KXMVE"  # their life has a channel of its own


class Stream:
    """The connections of one exchange."""

    def __init__(
        self,
        exchange: Exchange,
        auth: Auth,
        settings: StreamSettings | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.exchange, self.auth, self.settings = exchange, auth, settings or StreamSettings()
        self._faults = faults
        self.sessions: dict[Session, None] = {}
        self._index = Index()

    def open(self, headers: Mapping[str, str], now_ns: int) -> Session | Refused:
        """A connection for whoever signed the handshake. Names of headers are in lower case."""
        account = self.auth.account_of("GET", PATH, headers, now_ns)
        if isinstance(account, Refused):
            return account
        line = self._faults.line() if self._faults else None
        session = Session(self.exchange, account, self.settings, self._index, line)
        self.sessions[session] = None
        return session

    def close(self, session: Session) -> None:
        """A connection is gone."""
        session.close()
        self.sessions.pop(session, None)

    def publish(self, now_ns: int) -> int:
        """Tell everybody concerned what happened since the last time; how many happenings there were."""
        happened = self.exchange.drain()
        if happened and self.sessions:
            for session in self.sessions:
                session.turn(now_ns)
            for one in happened:
                if isinstance(one, Private):
                    self._tell_owner(one)
                else:
                    self._tell_all(one)
        return len(happened)

    def _tell_all(self, public: Public) -> None:
        value = public.value
        if type(value) is BookDelta:
            self._tell_delta(public, value)
            return
        if isinstance(value, TickerMessage):
            channel = Channel.TICKER
        elif isinstance(value, Trade):
            channel = Channel.TRADE
        else:
            channel = Channel.COMBO_LIFECYCLE if public.ticker.startswith(COMBOS) else Channel.LIFECYCLE
        self._tell(self._index.covering(channel, public.ticker), Bodies(value))

    def _tell_delta(self, public: Public, delta: BookDelta) -> None:
        """Whose order changed the book sees its name; nobody else does."""
        subscriptions = self._index.covering(Channel.BOOK, public.ticker)
        if not subscriptions:
            return
        cause, plain = public.cause, Bodies(delta)
        if cause is None:
            self._tell(subscriptions, plain)
            return
        named = msgspec.structs.replace(delta, client_order_id=cause.client_order_id, subaccount=cause.subaccount)
        own = Bodies(named)
        for one in subscriptions:
            one.session.tell(one, own if one.session.account is cause.account else plain)

    def _tell_owner(self, private: Private) -> None:
        value = private.value
        if isinstance(value, FillMessage):
            channel, ticker = Channel.FILL, value.ticker
        elif isinstance(value, OrderMessage):
            channel, ticker = Channel.ORDERS, value.order.ticker
        elif isinstance(value, PositionMessage):
            channel, ticker = Channel.POSITIONS, value.ticker
        else:
            channel, ticker = Channel.GROUPS, ""
        self._tell(self._of(private.account, channel, ticker), Bodies(value))

    def _of(self, account: Account, channel: Channel, ticker: str) -> Iterator[Subscription]:
        return (one for one in self._index.covering(channel, ticker) if one.session.account is account)

    def _tell(self, subscriptions: Iterable[Subscription], bodies: Bodies) -> None:
        for one in subscriptions:
            one.session.tell(one, bodies)
