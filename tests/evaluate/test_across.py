"""What is left of a policy away from home."""

from __future__ import annotations

import msgspec
import pytest

from kalshi_ray.evaluate.across import across, table_of
from kalshi_ray.evaluate.page import across_html
from kalshi_ray.evaluate.report import EvaluationReport
from tests.evaluate.reports import make_report


def on(session: str, seed: int, *, home: bool = False, net: float | None = None) -> EvaluationReport:
    report = make_report(seed, synthetic=False)
    first = msgspec.structs.replace(report.policies[0], home=home)
    if net is not None:
        figures = first.figures
        interval = msgspec.structs.replace(figures.net_per_market, mean=net)
        first = msgspec.structs.replace(first, by_model=(msgspec.structs.replace(figures, net_per_market=interval),))
    data = msgspec.structs.replace(report.data, session=session)
    return msgspec.structs.replace(report, data=data, policies=(first, *report.policies[1:]))


def test_the_change_is_against_home_and_home_has_none() -> None:
    found = across([on("a", 0, home=True, net=4.0), on("b", 1, net=1.0), on("c", 2, net=-2.0)])
    assert found.sessions == ("a", "b", "c")
    assert [row.change for row in found.rows] == [None, -3.0, -6.0]
    assert [row.kept for row in found.rows] == [None, 0.25, -0.5]
    assert found.rows[0].net_per_decision is not None


def test_without_a_home_session_there_is_no_change_to_tell() -> None:
    assert [row.change for row in across([on("a", 0), on("b", 1)]).rows] == [None, None]
    losing = across([on("a", 0, home=True, net=-1.0), on("b", 1, net=-2.0)]).rows
    assert losing[1].change == -1.0 and losing[1].kept is None  # a share of a loss says nothing


@pytest.mark.parametrize("homes", [0, 1])
def test_table_and_page_have_a_row_for_each_session(homes: int) -> None:
    found = across([on("a", 0, home=homes > 0, net=2.0), on("b", 1, net=1.0)])
    shown = table_of(found)
    assert len(shown.rows) == 2 and {len(row) for row in shown.rows} == {len(shown.columns)}
    page = across_html(found, [("a", "a/report.html"), ("b", "b/report.html")])
    assert page.count("report.html") == 2 and "http" not in page
