"""What a session's rows refer to: its markets, price grids and signals, as they come to be known."""

from __future__ import annotations

import msgspec
import pyarrow as pa

from kalshi_ray.data.schema import MARKETS
from kalshi_ray.errors import SessionDamaged


class MarketRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the market table, columns as in `schema.MARKETS`: what was known of a market when it joined."""

    ticker: str
    event: str = ""
    series: str = ""
    category: str = ""  # "" unknown
    price_ranges: tuple[tuple[int, int, int], ...] = ()  # start, end, step in pips
    fee_type: str = ""  # "" unknown
    fee_multiplier: float = 1.0
    open_ns: int = 0  # 0 unknown
    close_ns: int = 0  # scheduled; 0 unknown
    status: int = 0  # core.tape.Status


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows to append to the session's lists, each in order: what was learnt since the last time, or all of it."""

    markets: tuple[MarketRow, ...] = ()  # the first one gets the next free number
    grids: tuple[tuple[tuple[int, int, int], ...], ...] = ()  # that GRID rows refer to: start, end, step in pips
    signals: tuple[str, ...] = ()  # names that SIGNAL rows refer to

    def __bool__(self) -> bool:
        return bool(self.markets or self.grids or self.signals)

    def __add__(self, later: Facts) -> Facts:
        return Facts(
            markets=self.markets + later.markets, grids=self.grids + later.grids, signals=self.signals + later.signals
        )

    def table(self, start: int = 0) -> pa.Table:
        """Markets from number `start` on, schema MARKETS."""
        return pa.Table.from_pylist([_cells(market) for market in self.markets[start:]], MARKETS)

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, content: bytes | memoryview) -> Facts:
        """From JSON. SessionDamaged if it is something else."""
        try:
            return msgspec.json.decode(content, type=cls)
        except msgspec.MsgspecError as error:
            raise SessionDamaged(f"{bytes(content[:80])!r} are no facts of a session: {error}") from error


def market_rows(table: pa.Table) -> tuple[MarketRow, ...]:
    """The rows of a market table, schema MARKETS."""
    return tuple(
        MarketRow(**(row | {"price_ranges": tuple((r["start"], r["end"], r["step"]) for r in row["price_ranges"])}))
        for row in table.to_pylist()
    )


def _cells(market: MarketRow) -> dict[str, object]:
    ranges = [{"start": start, "end": end, "step": step} for start, end, step in market.price_ranges]
    return msgspec.structs.asdict(market) | {"price_ranges": ranges}
