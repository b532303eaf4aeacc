"""Statistics of sessions beside those of recorded markets."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kalshi_ray.core.units import CENT, DOLLAR, SECOND
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings, synthesize
from kalshi_ray.data.synthetic.calibration import MOVE_CENTS, PRINT_CONTRACTS, mean_of, table_of
from kalshi_ray.data.synthetic.quotes import Quotes, best_quotes
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.synthetic.statistics import (
    compare_statistics,
    comparison_table,
    generated_statistics,
    quote_statistics,
    recorded_statistics,
)
from kalshi_ray.errors import NothingToDo
from tests.data.synthetic_books import generated, moments


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    synthesize(store, "calibrated", SynthSettings(markets=96, waves=1, uninformed=0.47, seed=11))
    return store.open("calibrated")


@pytest.mark.parametrize("gaps_per_hour", [0.0, 100.0])
def test_best_quotes_agree_with_a_slow_replay(gaps_per_hour: float) -> None:
    made = SynthSettings(markets=6, hours=0.2, waves=1, uninformed=0.5, gaps_per_hour=gaps_per_hour, gap_s=3.0, seed=2)
    quotes, levels = best_quotes(pa.concat_tables([updates for updates, _ in run(start(made))]))
    replayed = generated(made)
    for market in range(6):
        mine = quotes.market == market
        found = list(zip(quotes.recv_ns[mine].tolist(), quotes.bid[mine].tolist(), quotes.ask[mine].tolist()))
        last = {}
        for recv, bid, ask in found:
            last[recv] = (bid, ask)
        rows = replayed.of(market)
        known = {m.exch_ns: (m.bid, m.ask) for m in moments(rows) if m.known}
        exch = dict(zip(rows["recv_ns"].tolist(), rows["exch_ns"].tolist()))
        final: dict[int, tuple[int, int]] = {}
        for recv in sorted(last):
            final[exch[recv]] = last[recv]
        assert all(known[when] == pair for when, pair in final.items())
        changes = sum(one != other for one, other in pairwise(known.values()))
        assert changes <= len(final) + 1
    assert (levels > 0).all()


def test_spreads_count_by_the_time_they_stood() -> None:
    quotes = Quotes(
        market=np.zeros(4, np.int32),
        recv_ns=np.array([0, 10, 11, 20], np.int64) * SECOND,
        bid=np.array([40, 0, 45, 45], np.int32) * CENT,
        ask=np.array([50, 50, 46, 47], np.int32) * CENT,
    )
    found = quote_statistics(quotes)
    assert found["quotes|spread by time, mean|¢"] == pytest.approx((10 * 10 + 9 * 1) / 19)
    assert found["quotes|one-sided share of time|%"] == pytest.approx(5.0)


def test_tables_are_distributions() -> None:
    for distribution in (PRINT_CONTRACTS, MOVE_CENTS):
        table = table_of(distribution)
        assert (np.diff(table) >= 0).all()
        assert table[0] == pytest.approx(distribution[0][1])
        assert table[-1] == pytest.approx(distribution[-1][1])
        assert distribution[0][1] < mean_of(distribution) < distribution[-1][1]


def test_the_calibrated_regime_looks_like_the_recorded_markets(session: Session) -> None:
    """Wide bands around what was recorded: a changed constant shows here."""
    found = generated_statistics(session)
    for name, low, high in [
        ("quotes|spread by time, mean|¢", 3.0, 5.5),
        ("quotes|spread by time, mid 35 to 65¢, mean|¢", 3.5, 6.0),
        ("quotes|spread by time, 50 %|¢", 2.0, 4.0),
        ("quotes|one-sided share of time|%", 5.0, 45.0),
        ("quotes|wait between changes, 50 %|s", 0.3, 1.2),
        ("quotes|moves of up to 1¢|%", 70.0, 85.0),
        ("quotes|moves that turn back|%", 65.0, 80.0),
        ("rates|share of updates in the busiest tenth|%", 27.0, 70.0),
        ("rates|level size, 50 %|contracts", 500.0, 1_200.0),
        ("prints|print size, 50 %|contracts", 12.0, 30.0),
        ("prints|print size, 90 %|contracts", 150.0, 500.0),
    ]:
        assert low <= found[name] <= high, name


def test_the_comparison_names_every_statistic_with_both_values_and_its_source(session: Session, recorded: Path) -> None:
    rows = compare_statistics(session, recorded)
    assert len(rows) > 30
    assert all(np.isfinite(row.generated) for row in rows)
    assert all(np.isfinite(row.recorded) for row in rows)
    spread = next(row for row in rows if row.name == "spread by time, mean")
    assert spread.recorded == pytest.approx(3.35, abs=0.05)
    text = comparison_table(rows)
    assert text.count("\n") == len(rows) + 2
    assert "jetpackjules_kalshi-trader" in text


def test_without_recorded_data_the_folders_wanted_are_named(tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="jetpackjules"):
        recorded_statistics(tmp_path)


def test_prices_of_quotes_lie_between_nothing_and_a_dollar(session: Session) -> None:
    quotes, _ = best_quotes(session.updates())
    assert ((quotes.bid >= 0) & (quotes.bid < quotes.ask) & (quotes.ask <= DOLLAR)).all()
