"""Whether a session is what it claims to be: files, counts, clocks, sequence, books, prints. Nothing is repaired."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import DOLLAR, SECOND, PriceGrid
from kalshi_ray.data.check_book import EXAMPLES, STATS, WORK, Check
from kalshi_ray.data.check_rows import check_markets, check_sequence
from kalshi_ray.data.market_table import MarketTable, read_market_table
from kalshi_ray.data.recording import rows_of
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.errors import DataError
from kalshi_ray.telemetry import Progress

Severity = Literal["error", "warning", "note"]
Rows = NDArray[Any]  # [N] ROW, all updates

_LONGEST_CROSSING = SECOND  # market-rules.md section 1
_CLOCK_TOLERANCE = SECOND  # how far the exchange's clock may be ahead of ours
_ABSURD_LAG = 60 * SECOND
_EARLIEST = 1_500_000_000 * SECOND  # before the exchange existed

# What each finding of the replay means. {n} is how many there are.
_MEANING: dict[Check, tuple[Severity, str]] = {
    Check.NEGATIVE_LEVEL: ("error", "changes take more than a level holds"),
    Check.LEVEL_OFF_GRID: ("error", "book levels are off the market's price grid"),
    Check.LEVEL_WITHOUT_SIDE: ("error", "book levels are neither bid nor ask"),
    Check.LEVEL_WITHOUT_SIZE: ("error", "levels of a snapshot have no size"),
    Check.LEVEL_TWICE: ("error", "levels stand twice in one snapshot"),
    Check.SNAPSHOT_CUT: ("error", "rows stand inside a snapshot that has no end yet"),
    Check.DELTA_ON_UNKNOWN: ("warning", "changes come while the book is unknown and are left out"),
    Check.LOCKED: ("note", "times a book is locked (best bid = best ask)"),
    Check.CROSSED: ("warning", "times a book is crossed (best bid > best ask)"),
    Check.CROSSED_LONG: ("error", "times a book is locked or crossed for longer than 1 s"),
    Check.TRADE_OFF_GRID: ("note", "prints are off the price grid (kept, never move a queue)"),
    Check.TRADE_IMPOSSIBLE: ("error", "prints have no size or a price outside (0, $1)"),
    Check.BLOCK_TRADE: ("note", "prints are block trades (kept, never move a queue)"),
    Check.GAP_AT_START: ("note", "gaps come before anything else of their market or subscription"),
    Check.REPEATED_SNAPSHOT: ("note", "snapshots replace a known book"),
    Check.FRACTIONAL_SIZE: ("note", "sizes have a fraction of a contract"),
    Check.UNKNOWN_GRID: ("error", "changes of price grid name none of the manifest's grids"),
    Check.SETTLEMENT_IMPOSSIBLE: ("error", "results are not between 0 and $1"),
    Check.SETTLED_AGAIN: ("warning", "results differ from an earlier one of the market"),
    Check.ROW_AFTER_SETTLEMENT: ("warning", "rows of book or prints come after the result"),
    Check.SEQUENCE_BACK: ("error", "sequence numbers go back without a gap between them"),
    Check.SEQUENCE_SKIPPED: ("note", "times sequence numbers have no row and no gap (control frames take numbers too)"),
}


class Example(msgspec.Struct, frozen=True):
    """Where a finding stands: the row of `updates`, its market, and what is there."""

    row: int
    ticker: str
    value: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing that was found, how often, and where first."""

    name: str
    severity: Severity
    count: int
    message: str
    examples: list[Example] = []

    def __str__(self) -> str:
        where = "; ".join(f"{e.ticker or 'all markets'} row {e.row:,} ({e.value:,})" for e in self.examples)
        return f"{self.severity}: {self.message}" + (f": {where}" if where else "")


class MarketReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the replay saw of one market; times in seconds."""

    ticker: str
    rows: int
    snapshots: int
    trades: int
    gaps: int
    unknown_s: float
    crossed_s: float
    longest_crossing_s: float
    two_sided: bool
    settled: bool


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything found in one session. `is_valid` if nothing is an error."""

    session: str
    updates: int
    findings: list[Finding]
    gaps: dict[str, int] = {}  # rows by cause
    unknown_s: float = 0.0  # summed over markets
    lag_ms: dict[str, float] = {}  # receive less exchange time: p1, p50, p99, max
    markets: list[MarketReport] = []

    @property
    def is_valid(self) -> bool:
        """Whether nothing is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {"is_valid": self.is_valid} | found


def validate_session(session: Session, progress: Progress | None = None) -> ValidationReport:
    """Check a session from its files to its books. Damage is a finding here, never an exception."""
    findings: list[Finding] = []
    try:
        session.verify_checksums(progress)
        markets = read_market_table(session.markets())
        table = session.updates()
    except DataError as error:
        damage = Finding(name="damaged", severity="error", count=1, message=str(error))
        return ValidationReport(session=session.id, updates=0, findings=[damage])
    rows = rows_of(table)
    findings += _compare_counts(session.manifest, rows, len(markets.tickers))
    unusable = _unusable(rows, len(markets.tickers))
    if unusable:
        return ValidationReport(session=session.id, updates=len(rows), findings=findings + unusable)
    if progress:
        progress("books", 0, len(rows))
    work, stats = _replay(rows, markets, session.manifest)
    reports = [_market_report(ticker, seen) for ticker, seen in zip(markets.tickers, stats)]
    findings += _check_clock(rows, markets.tickers) + _from_work(work, rows, markets.tickers) + _check_sides(reports)
    order: list[Severity] = ["error", "warning", "note"]
    return ValidationReport(
        session=session.id,
        updates=len(rows),
        findings=sorted(findings, key=lambda finding: order.index(finding.severity)),
        gaps=_gaps(rows),
        unknown_s=round(sum(report.unknown_s for report in reports), 3),
        lag_ms=_lags(rows),
        markets=reports,
    )


def _compare_counts(manifest: Manifest, rows: Rows, markets: int) -> list[Finding]:
    """What the manifest says against what the rows say."""
    times = rows["recv_ns"]
    by_kind = np.bincount(rows["kind"].astype(np.uint8), minlength=max(Kind) + 1)
    counted = {kind.name: int(by_kind[kind]) for kind in Kind}
    said: dict[str, Any] = {"updates": manifest.updates, "markets": manifest.markets, "kinds": manifest.kinds}
    said |= {"first_ns": manifest.first_ns, "last_ns": manifest.last_ns}
    found: dict[str, Any] = {"updates": len(rows), "markets": markets}
    found |= {"kinds": {name: count for name, count in sorted(counted.items()) if count}}
    found |= {"first_ns": int(times.min()) if len(times) else 0, "last_ns": int(times.max()) if len(times) else 0}
    wrong = [name for name in said if said[name] != found[name]]
    findings = [
        Finding(
            name="manifest-counts",
            severity="error",
            count=1,
            message=f"the manifest says {name} = {said[name]}, the rows say {found[name]}",
        )
        for name in wrong
    ]
    if manifest.has_trades and not counted["TRADE"]:
        findings.append(_note("no-trades", "the manifest says that prints were recorded, but there is none"))
    if not len(rows):
        findings.append(_note("no-updates", "the session has no updates"))
    return findings


def _unusable(rows: Rows, markets: int) -> list[Finding]:
    """Rows that make a replay impossible."""
    findings = []
    market, kind = rows["market"], rows["kind"]
    for name, wrong, what, values in (
        ("unknown-market", (market < -1) | (market >= markets), "rows name no market", market),
        ("unknown-kind", (kind < min(Kind)) | (kind > max(Kind)), "rows are of no known kind", kind),
    ):
        if wrong.any():
            examples = [Example(int(i), "", int(values[i])) for i in np.flatnonzero(wrong)[:EXAMPLES]]
            message = f"{int(wrong.sum()):,} {what}"
            findings.append(
                Finding(name=name, severity="error", count=int(wrong.sum()), message=message, examples=examples)
            )
    return findings


def _check_clock(rows: Rows, tickers: list[str]) -> list[Finding]:
    """Times that run backwards, lie ahead, or lag absurdly. Values of examples are in ns."""
    findings = []
    recv, exch = rows["recv_ns"], rows["exch_ns"]
    lag = np.where(exch > 0, recv - exch, 0)
    back = np.concatenate([[0], np.minimum(np.diff(recv), 0)]) if len(recv) else recv
    checks: list[tuple[str, Severity, NDArray[np.bool_], str, NDArray[np.int64]]] = [
        ("time-backwards", "error", back < 0, "rows were received before the row above them", back),
        ("time-impossible", "error", recv < _EARLIEST, "receive times are before 2017", recv),
        ("exchange-ahead", "warning", lag < -_CLOCK_TOLERANCE, "rows happened more than 1 s after they came", lag),
        ("absurd-lag", "warning", lag > _ABSURD_LAG, "rows came more than 60 s after they happened", lag),
    ]
    for name, severity, wrong, what, values in checks:
        if not wrong.any():
            continue
        first = np.flatnonzero(wrong)[:EXAMPLES]
        findings.append(
            Finding(
                name=name,
                severity=severity,
                count=int(wrong.sum()),
                message=f"{int(wrong.sum()):,} {what}; the largest by {abs(int(values[wrong].min())) / SECOND:.3f} s"
                if name in ("time-backwards", "exchange-ahead")
                else f"{int(wrong.sum()):,} {what}",
                examples=[_example(rows, tickers, int(i), int(values[i])) for i in first],
            )
        )
    return findings


def _replay(rows: Rows, markets: MarketTable, manifest: Manifest) -> tuple[np.void, NDArray[np.void]]:
    """Every book from its first row to its last, and every sequence: WORK with the findings, and STATS [M]."""
    first = list(dict.fromkeys(markets.grids))
    later = [PriceGrid(tuple((start, end, step) for start, end, step in ranges)) for ranges in manifest.grids]
    on_grid = np.zeros((len(first) + len(later), DOLLAR + 1), np.uint8)
    for place, grid in enumerate([*first, *later]):
        on_grid[place, grid.prices] = 1
    grids = np.array([first.index(grid) for grid in markets.grids], np.int64)
    order = np.argsort(rows["market"], kind="stable")
    starts = np.searchsorted(rows["market"][order], np.arange(len(grids) + 1))
    gap_rows = np.flatnonzero((rows["kind"] == Kind.GAP) & (rows["market"] < 0))
    work, stats, read = np.zeros(1, WORK), np.zeros(len(grids), STATS), as_rows(rows)
    work["longest"] = _LONGEST_CROSSING
    check_markets(read, order, starts, gap_rows, as_rows(work)[0], on_grid, len(first), grids, as_rows(stats))
    sids, places = np.unique(rows["sid"], return_inverse=True)
    last_seq, last_row, excused = (np.zeros(len(sids), np.int64) for _ in range(3))
    check_sequence(read, places.astype(np.int64), as_rows(work)[0], last_seq, last_row, excused)
    return work[0], stats


def _from_work(work: np.void, rows: Rows, tickers: list[str]) -> list[Finding]:
    findings = []
    for check in Check:
        count = int(work["found"][check])
        if count:
            severity, what = _MEANING[check]
            shown = zip(work["found_rows"][check][:count].tolist(), work["found_values"][check][:count].tolist())
            findings.append(
                Finding(
                    name=check.name.lower().replace("_", "-"),
                    severity=severity,
                    count=count,
                    message=f"{count:,} {what}",
                    examples=[_example(rows, tickers, row, value) for row, value in shown],
                )
            )
    return findings


def _market_report(ticker: str, seen: np.void) -> MarketReport:
    return MarketReport(
        ticker=ticker,
        rows=int(seen["rows"]),
        snapshots=int(seen["snapshots"]),
        trades=int(seen["trades"]),
        gaps=int(seen["gaps"]),
        unknown_s=round(int(seen["unknown_ns"]) / SECOND, 3),
        crossed_s=round(int(seen["crossed_ns"]) / SECOND, 6),
        longest_crossing_s=round(int(seen["longest_ns"]) / SECOND, 6),
        two_sided=bool(seen["seen_bid"] and seen["seen_ask"]),
        settled=bool(seen["settled"]),
    )


def _check_sides(reports: list[MarketReport]) -> list[Finding]:
    """Markets whose book never had both sides, and markets without any row."""
    findings = []
    for name, found, what in (
        ("never-two-sided", [r for r in reports if r.snapshots and not r.two_sided], "markets never had both sides"),
        ("without-rows", [r for r in reports if not r.rows], "markets have no row"),
        ("without-book", [r for r in reports if r.rows and not r.snapshots], "markets never had a known book"),
    ):
        if found:
            named = ", ".join(report.ticker for report in found[:EXAMPLES])
            findings.append(_note(name, f"{len(found):,} {what}: {named}", len(found)))
    return findings


def _gaps(rows: Rows) -> dict[str, int]:
    causes = rows["size"][rows["kind"] == Kind.GAP]
    return {cause.name.lower(): int((causes == cause).sum()) for cause in GapCause if (causes == cause).any()}


def _lags(rows: Rows) -> dict[str, float]:
    known = rows[rows["exch_ns"] > 0]
    if not len(known):
        return {}
    lag = (known["recv_ns"] - known["exch_ns"]) / 1e6
    shown = zip(("p1", "p50", "p99"), np.percentile(lag, (1, 50, 99)).tolist())
    return {name: round(value, 3) for name, value in shown} | {"max": round(float(lag.max()), 3)}


def _example(rows: Rows, tickers: list[str], row: int, value: int) -> Example:
    market = int(rows["market"][row])
    return Example(row, tickers[market] if market >= 0 else "", value)


def _note(name: str, message: str, count: int = 1) -> Finding:
    return Finding(name=name, severity="note", count=count, message=message)
