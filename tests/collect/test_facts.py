"""Facts: the same as JSON, as a table, and added up."""

from __future__ import annotations

import pytest

from kalshi_ray.collect.facts import Facts, MarketRow, market_rows
from kalshi_ray.data.schema import MARKETS
from kalshi_ray.errors import SessionDamaged

RANGES = ((0, 1000, 10), (1000, 10000, 100))
FACTS = Facts(
    markets=(
        MarketRow(ticker="A", event="E", series="S", category="Economics", price_ranges=RANGES, fee_type="quadratic"),
        MarketRow(ticker="B", fee_multiplier=0.5, open_ns=1, close_ns=2, status=1),
    ),
    grids=(RANGES,),
    signals=("wind", "rain"),
)


def test_facts_are_the_same_as_json() -> None:
    assert Facts.decode(FACTS.encode()) == FACTS
    with pytest.raises(SessionDamaged, match="are no facts of a session"):
        Facts.decode(b'{"markets":[{}]}')


def test_markets_are_the_same_as_a_table() -> None:
    assert FACTS.table().schema.equals(MARKETS)
    assert market_rows(FACTS.table()) == FACTS.markets
    assert market_rows(FACTS.table(1)) == FACTS.markets[1:]
    assert FACTS.table(2).num_rows == 0


def test_facts_add_up_in_order() -> None:
    later = Facts(markets=(MarketRow(ticker="C"),), signals=("snow",))
    both = FACTS + later
    assert [market.ticker for market in both.markets] == ["A", "B", "C"]
    assert both.signals == ("wind", "rain", "snow") and both.grids == FACTS.grids
    assert FACTS and later and not Facts()
