"""What a session is like and what can be earned in it, before any training."""

from __future__ import annotations

from kalshi_ray.data.analysis.ladder import SessionView, busiest_market, view_session
from kalshi_ray.data.analysis.page import report_html
from kalshi_ray.data.analysis.report import AnalysisReport, AnalysisSettings
from kalshi_ray.data.analysis.session import analyze_session
from kalshi_ray.data.analysis.tables import report_tables, split_table, view_tables
from kalshi_ray.data.analysis.wording import ReportTable

__all__ = [
    "AnalysisReport",
    "AnalysisSettings",
    "ReportTable",
    "SessionView",
    "analyze_session",
    "busiest_market",
    "report_html",
    "report_tables",
    "split_table",
    "view_session",
    "view_tables",
]
