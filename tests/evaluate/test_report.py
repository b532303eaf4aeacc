"""The report survives JSON, prints as tables, and draws as one page that needs nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from kalshi_ray.core.units import MICROS_PER_DOLLAR
from kalshi_ray.evaluate.page import to_html
from kalshi_ray.evaluate.report import curve_of, from_json, to_json
from kalshi_ray.evaluate.svg import ticks, time_ticks
from kalshi_ray.evaluate.tables import tables_of
from kalshi_ray.evaluate.tradelist import trade_lines
from kalshi_ray.evaluate.wording import NOT_MEASURABLE, cents, dollars, duration
from tests.evaluate.reports import grown, make_report
from tests.evaluate.standin import random_ledger

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


def test_names_cannot_break_the_page() -> None:
    page = to_html(make_report())
    assert "ppo-&lt;7&gt;" in page and "ppo-<7>" not in page


def test_every_table_row_has_a_cell_for_every_column() -> None:
    for depth in ("full", "best"):
        for table in tables_of(make_report(depth=depth)):
            assert {len(row) for row in table.rows} == {len(table.columns)}


def test_best_quote_data_prints_makers_as_not_measurable() -> None:
    first, *rest = tables_of(make_report(depth="best"))
    assert first.rows[-1][1] == NOT_MEASURABLE and set(first.rows[-1][2:]) == {"-"}
    behaviour = next(table for table in rest if table.title == "Behaviour")
    assert all(row[behaviour.columns.index("maker share")] == NOT_MEASURABLE for row in behaviour.rows[:-1])
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


def test_trade_lines_hold_every_trade_and_sum_to_the_net() -> None:
    made = replace(random_ledger(4, settled=True), policy='odd, "name"')
    header, *lines = trade_lines([made], ["E0", "E1", "E2"])
    column = header.split(",").index("net_dollars") - len(header.split(","))
    assert sum(float(line.split(",")[column]) for line in lines) == pytest.approx(made.pnl.sum() / MICROS_PER_DOLLAR)
    assert all(line.startswith('"odd, ""name""",') for line in lines)


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
