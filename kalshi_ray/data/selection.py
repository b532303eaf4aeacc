"""Which markets to train on, with the reason for every one left out; and which ones an evaluation may choose.

The training filter looks at the whole recording. Evaluation must not: `select_causal` decides from the first minutes of
each market alone (market-rules.md section 8).
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import CENT
from kalshi_ray.data.measures import OPEN, QUARTERS, measure_pack, quote_state
from kalshi_ray.data.replay import apply_row, make_replay, start_view, tape_of
from kalshi_ray.errors import ConfigError, NothingToDo
from kalshi_ray.telemetry import Progress

HOUR_S = 3_600.0
FEWEST_DECISIONS = 3  # an episode needs a first, a last and one between
Pattern = Literal["front-loaded", "mid-peak", "back-loaded", "even", "none"]


class SuitabilitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a market must be like to be trained on. Globs as in file names."""

    # Fewest decision points by the timer rule; never less than 3.
    min_decisions: int = 50
    # Fewest quarters, of four, with at least one decision point each.
    min_quarters: int = 2
    # Quarters of the session's time, or of the time the event was recorded; auto: of the event where that is less than
    # half the session.
    quarters_of: Literal["auto", "session", "event"] = "auto"
    # Mean spread over two-sided time must be below this, cents.
    max_spread_cents: float | None = None
    # Fewest updates per hour of the market's time.
    min_updates_per_hour: float = 0.0
    # Fewest public prints.
    min_trades: int = 0
    # Mean mid over two-sided time must be from this, cents.
    min_mid_cents: float = 0.0
    # Mean mid over two-sided time must be up to this, cents.
    max_mid_cents: float = 100.0
    # Globs of tickers; none: all.
    tickers: tuple[str, ...] = ()
    # Globs of events; none: all.
    events: tuple[str, ...] = ()
    # Globs of series; none: all.
    series: tuple[str, ...] = ()
    # Globs of categories; none: all.
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.min_quarters <= QUARTERS:
            raise ConfigError(f"min_quarters is {self.min_quarters}, expected 0 to {QUARTERS}")
        if not 0.0 <= self.min_mid_cents < self.max_mid_cents <= 100.0:
            raise ConfigError(f"price band {self.min_mid_cents} to {self.max_mid_cents} cents is not within 0 to 100")


class CausalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a market must show in its first minutes to be traded in an evaluation."""

    # Updates that a market must have shown.
    updates: int = 20
    # Within so many minutes of its first one.
    minutes: float = 10.0

    def __post_init__(self) -> None:
        if self.updates < 1 or self.minutes <= 0.0:
            raise ConfigError(f"causal selection by {self.updates} updates in {self.minutes} minutes, expected above 0")


class Rejected(msgspec.Struct, frozen=True):
    """A market that was left out: what was measured, and what was asked for."""

    ticker: str
    reason: str
    value: float | str
    threshold: float | str

    def __str__(self) -> str:
        return f"{self.ticker}: {self.reason} {_plain(self.value)}, asked for {_plain(self.threshold)}"


@dataclass(frozen=True)
class Selection:
    """Views to train on, and why the others are left out."""

    views: NDArray[np.int32]  # [N] indices into the pack
    rejected: list[Rejected]
    measures: NDArray[np.void]  # [V] of all views


@dataclass(frozen=True)
class CausalSelection:
    """Views to evaluate on and the update from which each trades, in rows of the pack's updates."""

    views: NDArray[np.int32]  # [N]
    starts: NDArray[np.int64]  # [N]
    rejected: list[Rejected]


def decisions_by_quarter(measure: np.void, quarters_of: str) -> tuple[str, NDArray[np.int64]]:
    """Whose time is quartered, session or event, and the decision points by quarter, [4]."""
    whose = quarters_of
    if whose == "auto":
        whose = "event" if 2 * int(measure["event_ns"]) < int(measure["session_ns"]) else "session"
    found: NDArray[np.int64] = measure["decisions" if whose == "session" else "event_decisions"]
    return whose, found


def pattern_of(quarters: NDArray[np.int64]) -> Pattern:
    """When a market was active: one outer quarter against all the rest, or the middle against both ends."""
    first, second, third, fourth = (int(q) for q in quarters)
    if first + second + third + fourth == 0:
        return "none"
    if first > second + third + fourth:
        return "front-loaded"
    if fourth > first + second + third:
        return "back-loaded"
    return "mid-peak" if second + third > first + fourth else "even"


def judge(
    pack: ViewPack,
    settings: SuitabilitySettings,
    *,
    markets: pa.Table | None = None,
    measures: NDArray[np.void] | None = None,
    progress: Progress | None = None,
) -> Selection:
    """Which views fit the settings, possibly none. Series and category come from the session's `markets` table.

    Listed markets without any update are among the rejected.
    """
    if markets is None and (settings.series or settings.categories):
        raise ConfigError("series and categories are known from the session's market table only; pass `markets`")
    found = measure_pack(pack, progress) if measures is None else measures
    chosen: list[int] = []
    rejected: list[Rejected] = []
    for view, ticker in enumerate(pack.tickers):
        verdict = next(_verdicts(pack, view, found[view], settings, markets), None)
        if verdict is None:
            chosen.append(view)
        else:
            rejected.append(Rejected(ticker, *verdict))
    if markets is not None:
        known = set(pack.tickers)
        rejected += [Rejected(t, "updates", 0.0, 1.0) for t in markets["ticker"].to_pylist() if t not in known]
    return Selection(np.array(chosen, np.int32), rejected, found)


def select(
    pack: ViewPack,
    settings: SuitabilitySettings,
    *,
    markets: pa.Table | None = None,
    measures: NDArray[np.void] | None = None,
    progress: Progress | None = None,
) -> Selection:
    """As `judge`; NothingToDo, with the commonest reasons, where no market fits."""
    found = judge(pack, settings, markets=markets, measures=measures, progress=progress)
    if len(found.views) == 0:
        raise NothingToDo(
            f"no market of session {pack.session!r} is suitable: {commonest(found.rejected)}",
            remedy="Loosen the filter, or record longer; `kalshi-ray sessions analyze` lists every market",
        )
    return found


def _verdicts(
    pack: ViewPack, view: int, measure: np.void, settings: SuitabilitySettings, markets: pa.Table | None
) -> Iterator[tuple[str, float | str, float | str]]:
    """Everything that speaks against a market: (reason, value, threshold)."""
    row = int(pack.views[view]["market"])
    names = [("ticker", pack.tickers[view], settings.tickers)]
    names += [("event", pack.events[pack.views[view]["event"]], settings.events)]
    if markets is not None:
        names += [("series", markets["series"][row].as_py(), settings.series)]
        names += [("category", markets["category"][row].as_py(), settings.categories)]
    for reason, name, globs in names:
        if globs and not any(fnmatchcase(name, glob) for glob in globs):
            yield reason, name, " or ".join(globs)
    whose, quarters = decisions_by_quarter(measure, settings.quarters_of)
    needed = max(settings.min_decisions, FEWEST_DECISIONS)
    if quarters.sum() < needed:
        yield "decision points", float(quarters.sum()), float(needed)
    if np.count_nonzero(quarters) < settings.min_quarters:
        yield f"quarters of the {whose}", float(np.count_nonzero(quarters)), float(settings.min_quarters)
    yield from _numbers_against(measure, settings)


def _numbers_against(measure: np.void, settings: SuitabilitySettings) -> Iterator[tuple[str, float | str, float | str]]:
    """What spread, price and activity say against a market."""
    two_sided = float(measure["two_sided_s"])
    if two_sided > 0.0:
        spread, mid = float(measure["spread_sum"]) / two_sided / CENT, float(measure["mid_sum"]) / two_sided / CENT
        if settings.max_spread_cents is not None and spread >= settings.max_spread_cents:
            yield "spread in cents", spread, f"below {settings.max_spread_cents:g}"
        if not settings.min_mid_cents <= mid <= settings.max_mid_cents:
            yield "mid in cents", mid, f"{settings.min_mid_cents:g} to {settings.max_mid_cents:g}"
    elif settings.max_spread_cents is not None or settings.min_mid_cents > 0.0 or settings.max_mid_cents < 100.0:
        yield "two-sided seconds", 0.0, "more"
    hours = (int(measure["last_ns"]) - int(measure["first_ns"])) * 1e-9 / HOUR_S
    rate = int(measure["updates"]) / hours if hours > 0.0 else 0.0
    if rate < settings.min_updates_per_hour:
        yield "updates per hour", rate, settings.min_updates_per_hour
    if measure["trades"] < settings.min_trades:
        yield "trades", float(measure["trades"]), float(settings.min_trades)


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}"


def commonest(rejected: Sequence[Rejected], shown: int = 3) -> str:
    """Why markets were left out: the commonest reasons, each with its number and an example."""
    reasons: dict[str, list[Rejected]] = {}
    for verdict in rejected:
        reasons.setdefault(verdict.reason, []).append(verdict)
    ranked = sorted(reasons.items(), key=lambda item: -len(item[1]))[:shown]
    return "; ".join(f"{len(found)} by {reason} (such as {found[0]})" for reason, found in ranked)


@kernel
def causal_start(tape, replay, view, needed, window_ns, seen):
    """Row after which a market has shown `needed` updates and is open and two-sided, within `window_ns`; -1 never.

    `seen` [2] receives the updates in the window and how often it was open and two-sided after one.
    """
    book, state = replay.book[0], replay.state[0]
    start_view(book, state, tape.axes, view)
    seen[0], seen[1] = 0, 0
    until = tape.updates[view.start].recv_ns + window_ns
    for at in range(view.start, view.stop):
        update = tape.updates[at]
        if update.recv_ns > until:
            break
        apply_row(book, state, update, tape.values)
        seen[0] += 1
        if quote_state(book, state) == OPEN and book.best[0] >= 0 and book.best[1] < book.levels:
            seen[1] += 1
            if seen[0] >= needed:
                return at + 1
    return -1


def select_causal(pack: ViewPack, settings: CausalSettings) -> CausalSelection:
    """Views that are worth trading by what their first minutes showed; trades from the row given. NothingToDo if none.

    The choice for a market is the same whatever happens after its start.
    """
    tape, room, seen = tape_of(pack), make_replay(pack.max_levels), np.zeros(2, np.int64)
    window = round(settings.minutes * 60e9)
    chosen: list[tuple[int, int]] = []
    rejected: list[Rejected] = []
    for view, ticker in enumerate(pack.tickers):
        start = int(causal_start(tape, room, tape.views[view], settings.updates, window, seen))
        if 0 <= start < pack.views[view]["stop"]:
            chosen.append((view, start))
        elif seen[0] < settings.updates:
            rejected.append(Rejected(ticker, "updates at the start", float(seen[0]), float(settings.updates)))
        elif start < 0:
            rejected.append(Rejected(ticker, "open and two-sided updates at the start", float(seen[1]), 1.0))
        else:
            rejected.append(Rejected(ticker, "updates after the start", 0.0, 1.0))
    if not chosen:
        raise NothingToDo(
            f"no market of session {pack.session!r} can be traded by its first minutes: {commonest(rejected)}",
            remedy="Ask for fewer updates or more minutes",
        )
    views, starts = np.array(chosen, np.int64).T
    return CausalSelection(views.astype(np.int32), starts, rejected)
