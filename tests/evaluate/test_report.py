"""The report survives JSON, prints as tables, and draws as one page that needs nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
from rich.console import Console

from kalshi_ray.cli.output import table
from kalshi_ray.core.units import MICROS_PER_DOLLAR
from kalshi_ray.evaluate.families import families_of
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.page import to_html
from kalshi_ray.evaluate.report import EvaluationReport, Stressed, TestSetUse, curve_of, from_json, to_json
from kalshi_ray.evaluate.svg import ticks, time_ticks
from kalshi_ray.evaluate.tables import tables_of
from kalshi_ray.evaluate.tradelist import trade_lines
from kalshi_ray.evaluate.wording import NOT_MEASURABLE, cents, dollars, duration
from tests.evaluate.reports import grown, make_report
from tests.evaluate.standin import fill, ledger, random_ledger

VOID = {"meta", "br", "img"}


class Balance(HTMLParser):
    """Fails on a tag that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_json_spells_out_the_verdicts() -> None:
    report = make_report()
    written = json.loads(to_json(report))
    assert [gate["open"] for gate in written["policies"][0]["gates"]] == [False, False]
    assert written["gates_open"] is False


def test_json_reads_back_into_the_report() -> None:
    report = make_report()
    assert from_json(to_json(report)) == report


@pytest.mark.parametrize("depth", ["full", "best"])
@pytest.mark.parametrize("synthetic", [True, False])
@pytest.mark.parametrize("judged", [True, False])
def test_the_page_is_whole_and_needs_nothing_from_outside(depth: str, synthetic: bool, judged: bool) -> None:
    page = to_html(make_report(depth=depth, synthetic=synthetic, judged=judged))
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"https?://|<script|@import|url\(", page)
    assert len(page) < 3_000_000
    assert "What is not modelled" in page and "nan" not in page.replace("finance", "").lower()


def full_report() -> EvaluationReport:
    """A report with everything that only some evaluations have."""
    report = make_report()
    first = report.policies[0]
    stressed = Stressed(
        scenario="fees × 2",
        fill_model="pessimistic",
        net=1.0,
        change=-2.0,
        net_per_market=first.figures.net_per_market,
        net_cents=None,
        fees=3.0,
        fills=4,
        contracts=5.0,
        return_on_peak=None,
        drawdown_on_peak=None,
    )
    first = msgspec.structs.replace(first, stress=(stressed,), family="ppo-1", seed=3, home=True)
    seeds = [("ppo-1", f"s{seed}", seed, first.figures) for seed in (3, 4)]
    return msgspec.structs.replace(
        report,
        policies=(first, *report.policies[1:]),
        families=families_of(seeds),
        test_use=TestSetUse(before=2, models=1),
    )


def test_stress_seeds_and_uses_survive_json_and_stand_on_the_page() -> None:
    report = full_report()
    assert from_json(to_json(report)) == report
    titles = [one.title for one in tables_of(report)]
    assert any(title.startswith("2 seeds of ppo-1: median") for title in titles)
    assert "Stress of ppo-<7>" in titles and "Breakdown of ppo-<7>" in titles
    page = to_html(report)
    assert "this test set was used 2 times before, by 1 other models" in page and "fees × 2" in page


def test_no_number_is_broken_on_a_console_of_a_hundred_columns() -> None:
    report = full_report()
    first = msgspec.structs.replace(report.policies[0], name="20261120T114157-fast-s1-e848ffbc")
    for one in tables_of(msgspec.structs.replace(report, policies=(first, *report.policies[1:]))):
        console = Console(file=io.StringIO(), width=100)
        console.print(table(one.title, one.columns, one.rows, right=one.columns[1:]))
        shown = console.file.getvalue()
        cells = [*one.columns, *(cell for row in one.rows for cell in row[1:])]
        broken = [word for cell in cells for word in cell.split() if word not in shown]
        assert not broken, (one.title, broken)


def test_the_map_of_actions_counts_every_decision_once() -> None:
    report = full_report()
    for policy in report.policies:
        totals = [sum(sum(sum(cell) for cell in row) for row in heat.counts) for heat in policy.heats]
        assert len(set(totals)) <= 1
        assert {(len(heat.counts), len(heat.counts[0])) for heat in policy.heats} <= {(3, 10), (3, 5), (3, 6)}


def test_names_cannot_break_the_page() -> None:
    page = to_html(make_report())
    assert "ppo-&lt;7&gt;" in page and "ppo-<7>" not in page


def test_every_table_row_has_a_cell_for_every_column() -> None:
    for depth in ("full", "best"):
        for one in tables_of(make_report(depth=depth)):
            assert {len(row) for row in one.rows} == {len(one.columns)}


def test_best_quote_data_prints_makers_as_not_measurable() -> None:
    first, *rest = tables_of(make_report(depth="best"))
    assert first.rows[-1][1] == NOT_MEASURABLE and set(first.rows[-1][2:]) == {"-"}
    behaviour = next(one for one in rest if one.title == "Behaviour")
    assert all(row[behaviour.columns.index("makers")] == NOT_MEASURABLE for row in behaviour.rows[:-1])
    assert not any(gate.is_open for gate in make_report(depth="best").policies[0].gates)


def test_the_oracle_has_all_of_its_own_edge() -> None:
    report = make_report()
    oracle = next(policy for policy in report.policies if policy.role == "oracle")
    shares = {policy.name: policy.figures.edge.share_of_oracle for policy in report.policies}
    assert oracle.figures.edge.per_market.mean > 0 and shares["oracle"] == pytest.approx(1.0)
    assert shares["hold"] == 0.0


def test_the_filter_of_training_is_charged_with_what_it_would_have_dropped() -> None:
    report, made = make_report(), grown(0, markets=24, policy="ppo")
    wanted = made.closed_pnl[::3].sum() / MICROS_PER_DOLLAR
    assert report.policies[0].filtered_net_dollars == pytest.approx(wanted)
    assert report.data.filtered_markets == 8


def test_a_thinned_curve_keeps_its_end_and_its_lowest_point() -> None:
    made = grown(5, markets=24, policy="p")
    thin = curve_of(made, points=50)
    assert len(thin.ns) <= 80
    assert thin.dollars[-1] == pytest.approx(made.closed_pnl.sum() / MICROS_PER_DOLLAR, abs=1e-4)
    assert min(thin.dollars) == pytest.approx(made.closed_curve.min() / MICROS_PER_DOLLAR, abs=1e-4)


def rows_of(made: Ledger) -> list[dict[str, str]]:
    return list(csv.DictReader(trade_lines([made], [f"E{at}" for at in range(len(made.tickers))])))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("settled", [True, False])
def test_trade_lines_hold_every_trade_and_sum_to_the_net_to_the_micro(seed: int, settled: bool) -> None:
    made = replace(random_ledger(seed, settled=settled), policy='odd, "name"')
    rows = rows_of(made)
    assert {row["policy"] for row in rows} == {'odd, "name"'}
    for column, sums in (("net_dollars", made.pnl), ("net_closed_dollars", made.closed_pnl)):
        assert sum(Decimal(row[column]) for row in rows) * MICROS_PER_DOLLAR == int(sums.sum())
    # Prices explain the net of each line, but for their rounding to a ten-thousandth of a cent a contract.
    for row in rows:
        side = 1 if row["side"] == "long" else -1
        gain = side * (float(row["exit_cents"]) - float(row["entry_cents"])) / 100 * float(row["contracts"])
        assert gain - float(row["fees_dollars"]) == pytest.approx(float(row["net_dollars"]), abs=1e-4)


def test_a_trade_line_says_what_stood_when_it_was_entered() -> None:
    made = ledger(
        1,
        [
            fill(0, 900, +1, 5_100, 250, twice_mid=10_050, spread=150, order_id=7, maker=1),
            fill(0, 1_800, -1, 5_300, 250),
        ],
    )
    (row,) = rows_of(made)
    wanted = {"entry_mid_cents": "50.250", "entry_spread_cents": "1.50", "entry_order": "7", "life_share": "0.2500"}
    assert {name: row[name] for name in wanted} == wanted
    assert (row["entry_cents"], row["exit_cents"], row["contracts"]) == ("51.0000", "53.0000", "2.5")
    (blind,) = rows_of(ledger(1, [fill(0, 1, -1, 4_000, 100)]))
    assert blind["entry_mid_cents"] == blind["entry_spread_cents"] == ""


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (dollars(-1234.5), "-$1,234.50"),
        (dollars(-0.001), "$0.00"),
        (dollars(None), "-"),
        (cents(-0.001), "+0.00¢"),
        (duration(90), "90 s"),
        (duration(600), "10 min"),
        (duration(None), "-"),
    ],
)
def test_numbers_read_as_people_write_them(said: str, meant: str) -> None:
    assert said == meant


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.7, 12.2), (1e-6, 2e-6), (5.0, 5.0), (-1e6, 1e6)])
def test_ticks_are_round_and_within(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 8 and all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


@pytest.mark.parametrize("span", [90, 3_600, 86_400, 40 * 86_400])
def test_time_ticks_are_whole_minutes(span: int) -> None:
    found = time_ticks(1_000_000_030.0, 1_000_000_030.0 + span)
    assert 1 <= len(found) <= 7 and all(tick % 60 == 0 for tick in found)
    assert (np.diff(found) > 0).all()
