"""An exchange with a few accounts and one or two markets, and short ways to say what happens on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.outbox import Happening
from kalshi_ray.exchange.simulator.settings import MarketTerms, SimulatorSettings
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, RecorderRow, Trade
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    Decrease,
    FillMessage,
    OrderMessage,
    OrderRequest,
    Placed,
    Reduced,
    Refused,
)

T0 = 1_700_000_000 * SECOND
BID, ASK = Side.BID, Side.ASK
TICKER = "KXA-26-T1"


class Scene:
    """Prices in cents, sizes in contracts, times in seconds after T0; every call is audited."""

    def __init__(
        self, accounts: int = 2, dollars: float = 1_000, settings: SimulatorSettings | None = None, **terms: Any
    ) -> None:
        self.exchange = Exchange(settings, seed=7)
        self.accounts = [self.exchange.create_account(dollars) for _ in range(accounts)]
        self.market = self.exchange.open_market(
            MarketTerms(**({"ticker": TICKER, "event": "E", "series": "S"} | terms))
        )
        self.exchange.advance(T0)
        self.said: list[Happening] = []
        self.clock, self._names = T0, 0
        self.hear()

    def hear(self) -> list[Happening]:
        """What happened since the last time; kept in `said` as well."""
        self.exchange.audit()
        happened = self.exchange.drain()
        self.said += happened
        return happened

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock += round(seconds * SECOND)
        self.exchange.advance(self.clock)
        self.hear()

    # -- flow

    def flow(self, bids: Mapping[int, int] | None = None, asks: Mapping[int, int] | None = None) -> None:
        """The flow's whole book: contracts by cents."""
        levels = [
            tuple((100 * cents, 100 * size) for cents, size in sorted((side or {}).items(), reverse=at == 0))
            for at, side in enumerate((bids, asks))
        ]
        self._apply(BookSnapshot(ticker=TICKER, bids=levels[0], asks=levels[1]))

    def change(self, side: Side, cents: int, contracts: int, *, by_trade: bool = False) -> None:
        """A level of the flow grows or shrinks."""
        self._apply(FlowDelta(ticker=TICKER, side=side, price=100 * cents, change=100 * contracts, by_trade=by_trade))

    def print(self, taker: Side, cents: int, contracts: int, *, block: bool = False) -> None:
        """A print of the flow."""
        self._apply(Trade(ticker=TICKER, price=100 * cents, size=100 * contracts, taker=taker, is_block=block))

    def row(self, kind: Kind, size: int = 0, price: int = 0) -> None:
        """A row of a tape that has no frame of its own."""
        self._apply(RecorderRow(ticker=TICKER, kind=kind, size=size, price=price))

    def gap(self) -> None:
        """The flow's book is lost."""
        self.row(Kind.GAP, GapCause.SEQUENCE)

    def _apply(self, update: Any) -> None:
        self.exchange.apply_flow(update, self.clock)
        self.hear()

    # -- accounts

    def ask_for(self, who: int, side: Side, cents: float, contracts: float, **more: Any) -> Placed | Refused:
        """Send an order and take whatever answer comes."""
        self._names += 1
        request = OrderRequest(
            **({"ticker": TICKER, "client_order_id": f"c{self._names}", "side": side, "price": round(100 * cents),
                "size": round(100 * contracts)} | more)
        )  # fmt: skip
        answer = self.exchange.place(self.accounts[who], request, self.clock)
        self.hear()
        return answer

    def place(self, who: int, side: Side, cents: float, contracts: float, **more: Any) -> Placed:
        """Send an order that is taken."""
        answer = self.ask_for(who, side, cents, contracts, **more)
        assert isinstance(answer, Placed), answer
        return answer

    def refusal(self, who: int, side: Side, cents: float, contracts: float, **more: Any) -> tuple[int, str, str]:
        """Send an order that is refused; status, code and details."""
        answer = self.ask_for(who, side, cents, contracts, **more)
        assert isinstance(answer, Refused), answer
        return answer.status, answer.code, answer.details

    def cancel(self, who: int, placed: Placed, **more: Any) -> Reduced | Refused:
        """Cancel an order."""
        asked = Cancel(**({"order_id": placed.order_id, "ticker": TICKER} | more))
        answer = self.exchange.cancel(self.accounts[who], asked, self.clock)
        self.hear()
        return answer

    def amend(self, who: int, placed: Placed, side: Side, cents: float, contracts: float, **more: Any) -> Any:
        """Change an order; `contracts` is its total."""
        asked = Amendment(
            **({"order_id": placed.order_id, "ticker": TICKER, "side": side, "price": round(100 * cents),
                "size": round(100 * contracts)} | more)
        )  # fmt: skip
        answer = self.exchange.amend(self.accounts[who], asked, self.clock)
        self.hear()
        return answer

    def decrease(self, who: int, placed: Placed, **more: int) -> Reduced | Refused:
        """Make an order smaller."""
        asked = Decrease(order_id=placed.order_id, ticker=TICKER, **more)
        answer = self.exchange.decrease(self.accounts[who], asked, self.clock)
        self.hear()
        return answer

    # -- what one sees

    def book(self) -> tuple[dict[int, int], dict[int, int]]:
        """The shown book: contracts by cents."""
        shown = self.market.book.display.shown
        return tuple({p // 100: lots // 100 for p, lots in side.items()} for side in shown)  # type: ignore[return-value]

    def position(self, who: int, subaccount: int = 0) -> float:
        """Contracts held."""
        return self.accounts[who].subaccount(subaccount).holding(TICKER).position / 100

    def ahead(self, who: int, placed: Placed) -> float:
        """Contracts in front of an order."""
        answer = self.exchange.queue_position(self.accounts[who], placed.order_id)
        assert not isinstance(answer, Refused)
        return answer.ahead / 100

    def fills(self, who: int) -> list[tuple[int, float, bool]]:
        """Cents, contracts and role of an account's fills, oldest first."""
        return [(value.price // 100, value.size / 100, value.is_taker) for value in self.private(who, FillMessage)]

    def reasons(self, who: int) -> list[str]:
        """Why an account's orders changed, oldest first."""
        return [value.reason for value in self.private(who, OrderMessage)]

    def private(self, who: int, kind: type) -> list[Any]:
        """What one account was told."""
        account: Account = self.accounts[who]
        return [h.value for h in self.said if h[0] == "private" and h[1] is account and isinstance(h.value, kind)]

    def public(self, kind: type) -> list[Any]:
        """What everybody was told."""
        return [
            happening.value for happening in self.said if happening[0] == "public" and isinstance(happening.value, kind)
        ]

    def deltas(self) -> list[tuple[str, int, int]]:
        """Changes of the shown book: side, cents, contracts."""
        return [(d.side.name, d.price // 100, d.change // 100) for d in self.public(BookDelta)]
