"""The report of a session: what it says, where it must say `not measurable`, and that its page stands alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.data.analysis import (
    AnalysisReport,
    AnalysisSettings,
    ReportTable,
    analyze_session,
    report_html,
    report_tables,
    split_table,
    view_session,
    view_tables,
)
from kalshi_ray.data.analysis.market_lines import Facts, duration_text, priority_of, quality_of
from kalshi_ray.data.analysis.wording import NOT_MEASURABLE
from kalshi_ray.data.importing import ImportOptions, QuoteFiles, import_session
from kalshi_ray.data.selection import SuitabilitySettings
from kalshi_ray.data.splits import SplitSettings, split_views
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import ConfigError, UnknownName, UsageError
from tests.data.pack_tables import (
    ASK,
    BID,
    T0,
    S,
    delta,
    end,
    level,
    manifest,
    markets_table,
    pack_of,
    quoted_session,
    row,
    trade,
)

EDGE = AnalysisSettings(edge=True, suitability=SuitabilitySettings(min_decisions=20))


def market_table() -> Any:
    return markets_table(6, event=["A", "A", "A", "B", "B", "B"], series=["X", "X", "X", "Y", "Y", "Y"])


@pytest.fixture(scope="module")
def pack() -> ViewPack:
    """Five markets of two events with prints; M4 has almost nothing, M5 nothing."""
    rows = [r for r in quoted_session(7, markets=4, changes=600) if r["market"] < 4]
    rows += [end(500_000.0, market=4)]
    return pack_of(sorted(rows, key=lambda r: int(r["recv_ns"])), market_table())


@pytest.fixture(scope="module")
def report(pack: ViewPack) -> AnalysisReport:
    return analyze_session(pack, EDGE, markets=market_table())


def best_only() -> ViewPack:
    about = manifest(depth="best", sizes="assumed", has_trades=False, assumed_size=1_000)
    return pack_of(quoted_session(3, markets=2, changes=300, trades=False), manifest=about)


def cells(tables: list[ReportTable]) -> str:
    return "\n".join(" | ".join([t.title, t.caption, *(c for r in [t.columns, *t.rows] for c in r)]) for t in tables)


def test_every_market_is_described_and_judged(report: AnalysisReport) -> None:
    assert [line.ticker for line in report.markets] == ["M0", "M1", "M2", "M3", "M4"]
    assert {line.ticker for line in report.markets if not line.suitable} == {"M4"}
    assert [(r.ticker, r.reason) for r in report.rejected] == [("M4", "decision points"), ("M5", "updates")]
    assert {(line.series, line.event) for line in report.markets} == {("X", "A"), ("Y", "B")}
    assert report.markets[4].reason == "M4: decision points 0, asked for 20"


def test_totals_are_the_sums_of_the_markets(report: AnalysisReport, pack: ViewPack) -> None:
    o, lines = report.overview, report.markets
    assert o.updates == sum(line.updates for line in lines) == len(pack.updates)
    assert o.decisions == sum(line.decisions for line in lines) == int(pack.views["steps"].sum())
    assert o.trades == sum(line.trades or 0 for line in lines) == int((pack.updates["kind"] == Kind.TRADE).sum())
    assert o.decisions == sum(h.decisions for h in report.hours) == sum(p.decisions for p in report.phases)
    assert o.updates == sum(h.updates for h in report.hours) == sum(p.updates for p in report.phases)
    assert sum(r.share for r in report.regimes) == pytest.approx(1.0)
    assert (o.markets, o.listed_markets, o.events, o.suitable) == (5, 6, 2, 4)


def test_displayed_and_traded_volume_are_two_rankings(report: AnalysisReport) -> None:
    lines = {line.ticker: line for line in report.markets}
    assert report.top_displayed and report.top_traded
    for ranked, figure in ((report.top_displayed, "depth_contracts"), (report.top_traded, "contracts")):
        values = [entry.contracts for entry in ranked]
        assert values == sorted(values, reverse=True)
        assert all(entry.contracts == getattr(lines[entry.ticker], figure) for entry in ranked)


def test_a_report_survives_json(report: AnalysisReport) -> None:
    assert msgspec.json.decode(msgspec.json.encode(report), type=AnalysisReport) == report


def test_edge_is_looked_at_only_when_asked(pack: ViewPack) -> None:
    assert analyze_session(pack).edge is None


def test_makers_earn_what_takers_lose_less_their_fee(report: AnalysisReport) -> None:
    edge = report.edge
    assert edge is not None and edge.markouts and edge.makers
    seen = sorted({m.seconds for m in edge.markouts})
    assert seen == [1.0, 5.0, 30.0, 60.0], "300 s is longer than the session"
    for seconds in seen:
        taker = next(m for m in edge.markouts if m.seconds == seconds and m.taker == "both")
        makers = [m for m in edge.makers if m.seconds == seconds]
        assert sum(m.contracts for m in makers) == pytest.approx(taker.contracts)
        gross = sum(m.gross_cents * m.contracts for m in makers) / taker.contracts
        assert gross == pytest.approx(-taker.cents)
        assert all(m.fee_cents == 0.0 and m.net_cents == m.gross_cents for m in makers)
        assert taker.after_fee_cents < taker.cents


def test_what_was_not_recorded_is_said_to_be_not_measurable_with_the_reason() -> None:
    found = analyze_session(best_only(), EDGE)
    assert set(found.unmeasurable) == {
        "touch_contracts",
        "depth_contracts",
        "trades",
        "contracts",
        "markouts",
        "makers",
    }
    assert found.top_displayed is None and found.top_traded is None and found.overview.trades is None
    assert found.edge is not None and found.edge.markouts is None and found.edge.makers is None
    assert all(line.depth_contracts is None and line.contracts is None for line in found.markets)
    text = cells(report_tables(found))
    for title in ("Top markets by displayed size", "Top markets by traded volume", "Markouts of prints"):
        assert re.search(rf"{title}.*{NOT_MEASURABLE}: ", text), title


def test_a_session_without_a_two_sided_moment_is_described(pack: ViewPack) -> None:
    found = analyze_session(pack_of([level(0, BID, 4_000, 5), end(0), delta(900, BID, 4_000, 1)]), EDGE)
    assert found.overview.spread_cents is None and found.overview.suitable == 0
    assert found.edge is not None and found.edge.round_trip_cents == {}
    assert report_html(found) and report_tables(found)


@pytest.mark.parametrize(
    ("rows", "ending"),
    [
        ([level(0, BID, 4_000, 5), level(0, ASK, 5_000, 5), end(0)], "two-sided"),
        ([level(0, BID, 4_000, 5), end(0)], "no ask"),
        ([level(0, ASK, 4_000, 5), end(0)], "no bid"),
        ([end(0)], "empty"),
        ([row(Kind.GAP, 0, size=1)], "unknown"),
        ([level(0, ASK, 4_000, 5), end(0), row(Kind.GAP, 5, size=1)], "no bid, then unknown"),
        ([level(0, ASK, 4_000, 5), end(0), row(Kind.STATUS, 5, size=3)], "no bid, closed"),
        ([level(0, ASK, 4_000, 5), level(0, BID, 4_000, 5), end(0)], "crossed"),
    ],
)
def test_the_ending_says_how_the_last_known_book_stood(rows: list[dict[str, Any]], ending: str) -> None:
    assert analyze_session(pack_of(rows)).markets[0].ending == ending


def test_quality_follows_its_formula_and_stays_between_zero_and_one() -> None:
    facts = Facts(0.9, 0.8, 0.5, 2.0, 1.0, 10, 5_000)
    assert quality_of(facts) == pytest.approx(0.27 + 0.16 + 0.1 + 0.075 + 0.15)
    assert quality_of(Facts(1.0, 1.0, 1.0, 99.0, 1.0, 1, 1)) == pytest.approx(1.0)
    assert quality_of(Facts(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)) == 0.0


@pytest.mark.parametrize(
    ("facts", "priority"),
    [
        (Facts(1.0, 1.0, 1.0, 5.0, 1.0, 50, 100_000), "PRIMARY"),
        (Facts(1.0, 1.0, 1.0, 5.0, 1.0, 50, 99_999), "HIGH"),
        (Facts(1.0, 1.0, 1.0, 1.0, 1.0, 19, 99_999), "GENERALIZATION"),
        (Facts(1.0, 1.0, 1.0, 0.5, 1.0, 3, 900), "VALIDATION"),
        (Facts(0.1, 1.0, 0.0, 0.5, 0.0, 0, 0), "STRESS TEST"),
    ],
)
def test_priority_follows_its_rule(facts: Facts, priority: str) -> None:
    assert priority_of(facts) == priority


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (3_600, "1 h 0 m 0 s"), (1_067 * 60 + 14, "17 h 47 m 14 s")]
)
def test_durations_are_days_hours_minutes_seconds(seconds: int, text: str) -> None:
    """1067:14 is 17.8 hours, not 44.5 days."""
    assert duration_text(seconds * S) == text


@pytest.mark.parametrize("options", [{"horizons_s": ()}, {"markouts_s": (0.0,)}, {"top": 0}])
def test_settings_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AnalysisSettings(**options)


# Tables and page


def test_tables_have_one_cell_per_column_and_name_their_numbers(report: AnalysisReport) -> None:
    for table in report_tables(report, all_markets=True):
        assert set(table.right) <= set(table.columns)
        assert all(len(r) == len(table.columns) for r in table.rows), table.title


class Outside(HTMLParser):
    """Collects what a page would fetch, and its visible headings."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.links += [f"{name}={value}" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_small_stands_alone_and_has_a_caption_under_every_plot(report: AnalysisReport) -> None:
    page = report_html(report)
    assert len(page.encode()) < 5_000_000
    parser = Outside()
    parser.feed(page)
    assert parser.links == []
    assert parser.tags["figure"] == parser.tags["figcaption"] == 10
    assert "Plotly.newPlot" in page and "nan" not in page[page.rindex("<script>") :].lower()


def test_names_cannot_break_out_of_the_page() -> None:
    evil = "</script><b>&"
    found = analyze_session(pack_of(quoted_session(1, markets=1), markets_table(1, ticker=[evil], event=[evil])), EDGE)
    page = report_html(found)
    body, script = page[: page.index("<script>")], page[page.rindex("<script>") :]
    assert evil not in body and "&lt;/script&gt;&lt;b&gt;&amp;" in body
    assert script.count("</script>") == 1


def test_a_split_is_printed_with_its_time_ranges(pack: ViewPack) -> None:
    split = split_views(pack, SplitSettings(train=0.5, validation=0.0, test=0.5, by="event"))
    rows = split_table(split.parts).rows
    assert [cells[0] for cells in rows] == ["train", "validation", "test", "purged"]
    assert rows[1][-1] == "–"


# One market


LADDER = [
    level(0, BID, 4_000, 500),
    level(0, BID, 3_900, 700),
    level(0, ASK, 4_200, 300),
    end(0),
    trade(1_000, BID, 4_200, 100),
    delta(1_000, ASK, 4_200, -100),
    trade(2_000, ASK, 5_050, 100),
    delta(3_000, BID, 4_100, 50),
]


def test_a_view_shows_the_ladder_and_the_prints_at_a_time() -> None:
    pack = pack_of(LADDER)
    found = view_session(pack, "M0", T0 + 1 * S)
    assert [(x.cents, x.bid_contracts, x.ask_contracts) for x in found.ladder] == [(42, 0, 2), (40, 5, 0), (39, 7, 0)]
    assert [(p.cents, p.contracts, p.taker) for p in found.prints] == [(42.0, 1.0, "bought")]
    assert (found.bid_cents, found.ask_cents, found.state, found.updates) == (40.0, 42.0, "open", 6)
    last = view_session(pack, "M0")
    assert last.bid_cents == 41.0 and last.prints[0].off_book and last.prints[0].cents is None


def test_a_view_shows_as_many_levels_as_asked_for() -> None:
    found = view_session(pack_of(LADDER), "M0", rows=1)
    assert [x.cents for x in found.ladder] == [42.0, 41.0] and found.hidden_levels == 2 and len(found.prints) == 1


def test_the_price_path_rises_from_its_lowest_to_its_highest_mid() -> None:
    rows = [level(0, BID, 4_000, 5), level(0, ASK, 4_200, 5), end(0)]
    for step in range(1, 8):
        at = 1_000.0 * step
        rows += [delta(at, BID, 4_000 + 100 * step, 5), delta(at, ASK, 4_200 + 100 * step, 5)]
        rows += [delta(at, ASK, 4_100 + 100 * step, -5)]
    rows.append(row(Kind.GAP, 8_000, size=1))
    found = view_session(pack_of([*rows, end(10_000)]), "M0", width=10)
    assert found.price_path == "▁▂▃▄▅▆▇█··"
    assert (found.path_low_cents, found.path_high_cents) == (41.0, 48.0)


def test_a_view_of_another_market_or_time_is_refused() -> None:
    with pytest.raises(UnknownName, match="NOPE"):
        view_session(pack_of(LADDER), "NOPE")
    with pytest.raises(UsageError, match=r"M0 was not recorded at 1970-01-01 .* Ask for a time from 2023-11-14"):
        view_session(pack_of(LADDER), "M0", 5)


def test_a_view_can_be_printed() -> None:
    tables = view_tables(view_session(pack_of(LADDER), "M0"))
    assert [t.title for t in tables] == [
        "M0 at 2023-11-14 22:13:23.000000 UTC",
        "Last prints",
        "Mid over the recording",
    ]
    assert ["41", "0.50", ""] in tables[0].rows


# The recorded quotes


def test_the_recorded_quotes_are_measured_as_they_were_by_hand(recorded: Path, tmp_path: Path) -> None:
    """85 of 102 markets end without a bid; a round trip at mid prices costs 6 to 7 cents, more than 10 s ever move."""
    files = sorted((recorded / "jetpackjules_kalshi-trader").glob("*.parquet"))
    source = QuoteFiles(paths=tuple(map(str, files)), no_bid="best_no_bid", time_zone="US/Pacific")
    store = open_store(str(tmp_path))
    import_session(store, "kxhighny", source, ImportOptions(fee_type="quadratic"))
    found = analyze_session(store.open("kxhighny"), AnalysisSettings(edge=True))
    bidless = [x for x in found.markets if x.ending.split(",")[0] in ("no bid", "empty")]
    assert (len(found.markets), len(bidless)) == (102, 85)
    assert found.overview.suitable > 90
    assert found.overview.spread_cents == pytest.approx(2.7, abs=0.2)
    assert found.edge is not None
    costs = {line.name: line.round_trip_cents for line in found.edge.by_price}
    assert all(6.0 < costs[name] < 7.0 for name in ("20–40¢", "40–60¢", "60–80¢"))
    assert found.edge.horizons[1].seconds == 10.0 and found.edge.horizons[1].over_cost_share < 0.01
