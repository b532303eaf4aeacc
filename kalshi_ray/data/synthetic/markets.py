"""The markets of a synthetic session before its first moment: events and waves, first probabilities, rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.data.schema import MARKETS
from kalshi_ray.data.synthetic import calibration as known
from kalshi_ray.data.synthetic import layout
from kalshi_ray.data.synthetic.settings import SynthSettings

HOUR = 3_600 * SECOND
MARGIN = 0.02  # of a wave: markets open within its first and close before its last part
UNQUOTED = 0.02  # probability of the outcome that has no market, in events of many strikes
LEAST_START = 30_000  # ppm


@dataclass(frozen=True)
class Prepared:
    """State of the generator, ready to `advance`: M markets, E events."""

    stream: NDArray[np.void]  # [1] STREAM
    markets: NDArray[np.void]  # [M] MARKET
    events: NDArray[np.void]  # [E] EVENT
    heap: NDArray[np.int64]  # [M + E + 1] who is due, soonest first: markets, events, the gap
    due: NDArray[np.int64]  # [M + E + 1] ns
    tables: NDArray[np.float64]  # [TABLES, TABLE_POINTS]
    table: pa.Table  # MARKETS
    largest_moment: int  # rows that one moment writes at most


class _Draws:
    """Uniform draws from a bit generator whose stream is fixed for good."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        raw = self._bits.random_raw(count) >> np.uint64(11)
        return np.asarray(low + (high - low) * raw.astype(np.float64) * 2.0**-53)

    def pick(self, count: int, cumulated: list[tuple[float, str]]) -> list[str]:
        shares = np.array([share for share, _ in cumulated])
        at = np.searchsorted(shares, self.uniform(count), side="right")
        return [cumulated[min(index, len(cumulated) - 1)][1] for index in at.tolist()]


def prepare(settings: SynthSettings, *, hours: float, uninformed: float) -> Prepared:
    """The state before the first moment of a session whose markets live `hours` each."""
    draws = _Draws(settings.seed)
    sizes = _event_sizes(settings, draws)
    events = _events(settings, sizes, hours, draws)
    markets = np.zeros(sum(sizes), layout.MARKET)
    markets["event"] = np.repeat(np.arange(len(sizes)), sizes)
    _start_probabilities(settings, markets, events, draws)
    grids = _grids(settings, markets, events, draws)
    _rates(settings, markets, events, draws, uninformed)
    stream = _stream(settings, events)
    due = _first_due(settings, markets, events, draws)
    return Prepared(
        stream=stream,
        markets=markets,
        events=events,
        heap=np.argsort(due, kind="stable").astype(np.int64),
        due=due,
        tables=_tables(settings),
        table=_market_table(settings, markets, events, grids, hours, draws),
        largest_moment=1_024 + 8 * layout.LADDER * int(events["strikes"].max()),
    )


def _event_sizes(settings: SynthSettings, draws: _Draws) -> list[int]:
    """Markets of each event; `calibrated` mixes mirror pairs in."""
    mirrors = settings.regime == "calibrated" and settings.strikes == 0
    sizes: list[int] = []
    left = settings.markets
    chances = draws.uniform(settings.markets)
    while left:
        is_pair = mirrors and chances[len(sizes)] < known.MIRROR_SHARE
        sizes.append(min(left, 2 if is_pair else settings.strikes_per_event))
        left -= sizes[-1]
    return sizes


def _events(settings: SynthSettings, sizes: list[int], hours: float, draws: _Draws) -> NDArray[np.void]:
    """Events with the times of their phases: waves one after another, nothing of one reaches into the next."""
    count = len(sizes)
    events = np.zeros(count, layout.EVENT)
    events["strikes"] = sizes
    events["first"] = np.cumsum([0, *sizes[:-1]])
    life = hours * HOUR
    wave = np.arange(count) * min(settings.waves, count) // count
    begin = settings.start_ns + wave * life
    times = events["times"]
    times[:, layout.OPEN] = begin + draws.uniform(count, 0.0, MARGIN) * life
    times[:, layout.CLOSE] = begin + (1.0 - MARGIN) * life - draws.uniform(count, 0.0, MARGIN) * life
    if settings.settle:
        times[:, layout.SETTLE] = times[:, layout.CLOSE] + min(10.0 * SECOND, MARGIN / 2 * life)
    moved = draws.uniform(count) < settings.rescheduled_share
    times[:, layout.RESCHEDULE] = np.where(moved, begin + draws.uniform(count, 0.15, 0.35) * life, 0)
    paused = draws.uniform(count) < settings.paused_share
    pause = begin + draws.uniform(count, 0.4, 0.6) * life
    length = min(settings.pause_s * SECOND, 0.2 * life)
    times[:, layout.PAUSE] = np.where(paused, pause, 0)
    times[:, layout.RESUME] = np.where(paused, pause + length, 0)
    times //= 1_000
    times *= 1_000
    events["close"] = times[:, layout.CLOSE]
    return events


def _start_probabilities(
    settings: SynthSettings, markets: NDArray[np.void], events: NDArray[np.void], draws: _Draws
) -> None:
    """First p of every market. Over the strikes of an event they sum to one, less what has no market."""
    low, high = settings.rules.start
    on_lattice = settings.rules.news_cents == 0.0
    for event in events:
        count, first = int(event["strikes"]), int(event["first"])
        chances = draws.uniform(count)
        if count <= 2:
            p = int((low + (high - low) * chances[0]) * layout.ONE)
            if on_lattice:
                p = round(p / layout.CENT_PPM) * layout.CENT_PPM
            found = np.array([p, layout.ONE - p][:count])
        else:
            weights = (-np.log1p(-chances)) ** 1.5
            shared = (1.0 - UNQUOTED) * layout.ONE - count * LEAST_START
            found = LEAST_START + np.floor(weights / weights.sum() * shared).astype(np.int64)
        markets["p"][first : first + count] = found
        event["rest"] = layout.ONE - found.sum()


def _grids(settings: SynthSettings, markets: NDArray[np.void], events: NDArray[np.void], draws: _Draws) -> list[str]:
    """Price grid and width of every market; one grid for all strikes of an event."""
    by_event = draws.pick(len(events), known.MIXED_GRIDS) if settings.grid == "mixed" else [settings.grid] * len(events)
    grids = [by_event[event] for event in markets["event"].tolist()]
    codes = [layout.GRID_CODES[name] for name in grids]
    markets["grid"] = codes
    markets["unit"] = [known.TICKS_PER_LEVEL[name] for name in grids]
    low, high = settings.rules.width
    width = draws.uniform(len(events), low, high)[markets["event"]]
    if settings.width_ticks:
        width[:] = settings.width_ticks
    middle = [layout.GRIDS[code].prices for code in codes]
    tick = np.array([int(prices[len(prices) // 2] - prices[len(prices) // 2 - 1]) for prices in middle])
    markets["half"] = np.maximum(width * tick * layout.PIP / 2, 1).astype(np.int64)
    return grids


def _rates(
    settings: SynthSettings, markets: NDArray[np.void], events: NDArray[np.void], draws: _Draws, uninformed: float
) -> None:
    rules = settings.rules
    count = len(markets)
    for name in ("noise", "flicker", "news", "trade"):
        markets[name] = getattr(rules, name)
    markets["factor"] = 1
    markets["scale"] = 1.0
    markets["news_scale"] = rules.news_cents * layout.CENT_PPM
    markets["uninformed"] = uninformed
    markets["profile"] = 1.0
    markets["hold"] = known.HOLD_RATE
    if rules.signals:
        markets["onset"] = 1.0 / settings.signal_mean_s
    if rules.flicker == 0.0:
        return
    table = known.table_of(known.ACTIVITY)
    activity = np.interp(draws.uniform(count), np.linspace(0.0, 1.0, len(table)), table)
    markets["follow"] = known.FOLLOW
    markets["calm"] = 1.0 / activity
    calm = known.mean_of(known.CALM_SECONDS) / activity
    wait = known.FOLLOW * known.mean_of(known.BURST_SECONDS) + (1.0 - known.FOLLOW) * calm
    markets["news"] = np.minimum(rules.news, known.LARGEST_NEWS_PER_HOUR * wait / 3_600)
    markets["trade"] = np.minimum(rules.trade, known.LARGEST_TRADES_PER_HOUR * wait / 3_600)
    markets["breadth"] = draws.uniform(count, *known.BREADTH)
    markets["scale"] = np.exp(draws.uniform(count, -0.5, 0.5))
    profile = np.array(known.PROFILES)[(draws.uniform(len(events)) * len(known.PROFILES)).astype(int)]
    markets["profile"] = profile[markets["event"]]


def _stream(settings: SynthSettings, events: NDArray[np.void]) -> NDArray[np.void]:
    stream = np.zeros(1, layout.STREAM)
    s = stream[0]
    s["counter"] = np.random.PCG64(settings.seed ^ 0x5EED).random_raw()
    s["now"] = settings.start_ns
    s["stop"] = events["times"].max() + 1
    s["feed"] = round(settings.feed_ms * MILLISECOND)
    s["jitter"] = round(settings.jitter_ms * MILLISECOND)
    s["jump"] = settings.jump_cents * layout.CENT_PPM
    s["theta"] = settings.theta
    s["shift"] = (2.0 * settings.theta - 1.0) * float(s["jump"])
    s["signal_ns"] = round(settings.signal_length_s * 1e6) * 1_000
    s["factor"] = settings.signal_factor
    s["gap_ns"] = round(settings.gap_s * 1e6) * 1_000
    s["gap_mean"] = HOUR / settings.gaps_per_hour if settings.gaps_per_hour else 0.0
    s["cursor"] = -1
    return stream


def _first_due(
    settings: SynthSettings, markets: NDArray[np.void], events: NDArray[np.void], draws: _Draws
) -> NDArray[np.int64]:
    opens = events["times"][:, layout.OPEN]
    first = opens[markets["event"]] + (draws.uniform(len(markets), 0.001, 2.0) * SECOND).astype(np.int64)
    gap = layout.NEVER
    if settings.gaps_per_hour:
        wait = -np.log1p(-draws.uniform(1)[0]) * HOUR / settings.gaps_per_hour
        gap = int(opens.min()) + int(wait)
    return np.concatenate([first, opens, [gap]]).astype(np.int64) // 1_000 * 1_000


def _tables(settings: SynthSettings) -> NDArray[np.float64]:
    tables = np.zeros((layout.TABLES, layout.TABLE_POINTS))
    tables[layout.LEVEL_SIZES] = known.table_of(settings.rules.levels)
    tables[layout.PRINT_SIZES] = known.table_of(known.PRINT_CONTRACTS)
    tables[layout.NEWS] = known.table_of(known.MOVE_CENTS)
    tables[layout.BURST] = known.table_of(known.BURST_SECONDS)
    tables[layout.CALM] = known.table_of(known.CALM_SECONDS)
    return tables


def _market_table(
    settings: SynthSettings,
    markets: NDArray[np.void],
    events: NDArray[np.void],
    grids: list[str],
    hours: float,
    draws: _Draws,
) -> pa.Table:
    """What is known of each market at its first update; a close that will be rescheduled is still the wrong one."""
    series = "SYN" + settings.regime.removeprefix("planted-").upper()
    names = [f"{series}-{settings.seed}E{number:05d}" for number in range(len(events))]
    strike = np.arange(len(markets)) - events["first"][markets["event"]] + 1
    moved = events["times"][:, layout.RESCHEDULE] > 0
    away = np.where(draws.uniform(len(events)) < 0.5, -1.0, 1.0) * draws.uniform(len(events), 0.05, 0.2)
    shown = events["close"] + np.where(moved, away * hours * HOUR, 0).astype(np.int64) // 1_000 * 1_000
    ranges = {
        name: [{"start": a, "end": b, "step": c} for a, b, c in layout.GRIDS[code].ranges]
        for name, code in layout.GRID_CODES.items()
    }
    event = markets["event"].tolist()
    rows = len(markets)
    columns = {
        "ticker": [f"{names[e]}-T{k}" for e, k in zip(event, strike.tolist())],
        "event": [names[e] for e in event],
        "series": [series] * rows,
        "category": ["synthetic"] * rows,
        "price_ranges": [ranges[name] for name in grids],
        "fee_type": ["quadratic"] * rows,
        "fee_multiplier": [1.0] * rows,
        "open_ns": events["times"][:, layout.OPEN][event],
        "close_ns": shown[event],
        "status": np.full(rows, int(Status.ACTIVE), np.int8),
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in MARKETS}, schema=MARKETS)
