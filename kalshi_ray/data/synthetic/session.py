"""Synthetic sessions: rows from settings, and a store's session from rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows
from kalshi_ray.data.schema import TRUTH, UPDATES, Manifest
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.synthetic.calibration import TAKERS_LOSE
from kalshi_ray.data.synthetic.layout import ROW, TRUTH_ROW
from kalshi_ray.data.synthetic.markets import Prepared, prepare
from kalshi_ray.data.synthetic.settings import SynthSettings
from kalshi_ray.data.synthetic.stream import advance

Progress = Callable[[str, int, int], None]  # label, done, total
BATCH_ROWS = 1 << 17
_PILOT: dict[str, Any] = {
    "markets": 192,
    "waves": 1,
    "updates": 0,
    "hours": 0.0,
    "seed": 1,
    "gaps_per_hour": 0.0,
    "paused_share": 0.0,
    "rescheduled_share": 0.0,
}
_SMALL_PILOT, _REFINEMENTS = 32, 3


def generate(settings: SynthSettings, *, batch_rows: int = BATCH_ROWS) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Updates (schema UPDATES) and truth (schema TRUTH), batch by batch, in order of arrival."""
    yield from run(start(settings), batch_rows)


def start(settings: SynthSettings) -> Prepared:
    """The session before its first moment: what the settings leave open is solved by a short pilot."""
    share = uninformed_share(settings)
    return prepare(settings, hours=market_hours(settings), uninformed=share)


def run(state: Prepared, batch_rows: int = BATCH_ROWS) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Advance `state` to its end."""
    done = 0
    while not done:
        out, truth, done = _batch(state, batch_rows)
        yield _table(out, UPDATES), _table(truth, TRUTH)


def synthesize(
    store: SessionStore, session_id: str, settings: SynthSettings, progress: Progress | None = None
) -> Manifest:
    """Write a synthetic session with its truth; the manifest's `origin` holds all settings, solved ones too."""
    state = start(settings)
    span = int(state.stream["stop"][0]) - settings.start_ns
    manifest = Manifest(
        id=session_id,
        source="synthetic",
        environment="synthetic",
        clock="receive",
        use_yes_price=True,
        origin=origin_of(settings, state),
    )
    with store.writer(session_id, manifest=manifest) as writer:
        writer.add_markets(state.table)
        for updates, truth in run(state):
            writer.append(updates)
            writer.add_truth(truth)
            if progress:
                progress("synthesis", min(int(state.stream["now"][0]) - settings.start_ns, span), span)
        return writer.commit()


def origin_of(settings: SynthSettings, state: Prepared) -> dict[str, Any]:
    """What the manifest remembers: the settings as given, and what was solved for."""
    given: dict[str, Any] = msgspec.to_builtins(settings)
    lives = (state.events["close"] - state.events["times"][:, 0]) / 3.6e12
    solved = {"uninformed": float(state.markets["uninformed"][0]), "market_hours": float(lives.mean())}
    return {"generator": "synthetic", "settings": given, "solved": solved}


def market_hours(settings: SynthSettings) -> float:
    """How long each market lives; where a number of updates is wanted, from the rows of short pilots."""
    hours = settings.hours or settings.rules.hours
    if not settings.updates:
        return hours
    pilots = min(settings.markets, _SMALL_PILOT)
    wanted = settings.updates * pilots / settings.markets
    trial = msgspec.structs.replace(settings, updates=0, markets=pilots, waves=1, gaps_per_hour=0.0)
    for _ in range(_REFINEMENTS):
        snapshots, moving = _rows_of(prepare(trial, hours=hours, uninformed=uninformed_share(settings)))
        # Markets that are nearly decided trade less: more hours bring fewer rows each.
        hours *= min(max((wanted - snapshots) / max(moving, 1), 1e-3), 1e3)
    return hours


def uninformed_share(settings: SynthSettings) -> float:
    """The share u of uninformed taker orders: as set, or such that takers lose about 1.1 % of stake."""
    if not settings.rules.mixed_takers:
        return 0.0
    if settings.uninformed is not None:
        return settings.uninformed
    return _solve_share(msgspec.structs.replace(settings, **_PILOT))


@lru_cache(maxsize=32)
def _solve_share(settings: SynthSettings) -> float:
    """(1 - u) x gain of the informed = u x loss of the uninformed - 1.1 % of stake; the path depends on u a little."""
    share = 0.5
    for _ in range(2):
        pilot = prepare(settings, hours=settings.rules.hours, uninformed=share)
        for _rows in _batches(pilot):
            pass
        s = pilot.stream[0]
        share = float((s["gain"] + TAKERS_LOSE * s["stake"]) / (s["gain"] + s["loss"]))
    return round(min(max(share, 0.0), 1.0), 4)


def _rows_of(state: Prepared) -> tuple[int, int]:
    """Rows of first snapshots and all other rows of a run to the end."""
    snapshots = moving = 0
    for rows in _batches(state):
        levels = int(np.count_nonzero(rows["kind"] <= 2))
        snapshots += levels
        moving += len(rows) - levels
    return snapshots, moving


def _batches(state: Prepared) -> Iterator[NDArray[np.void]]:
    done = 0
    while not done:
        rows, _, done = _batch(state, BATCH_ROWS)
        yield rows


def _batch(state: Prepared, batch_rows: int) -> tuple[NDArray[np.void], NDArray[np.void], int]:
    """The next rows and truths, and whether the session has ended."""
    out = np.empty(batch_rows + state.largest_moment, ROW)
    truth = np.empty(batch_rows // 4 + state.largest_moment, TRUTH_ROW)
    stream, markets, events = as_rows(state.stream), as_rows(state.markets), as_rows(state.events)
    done = advance(
        as_rows(out),
        as_rows(truth),
        stream[0],
        markets,
        events,
        state.heap,
        state.due,
        state.tables,
        state.largest_moment,
    )
    s = state.stream[0]
    return out[: s["rows"]], truth[: s["truths"]], int(done)


def _table(rows: NDArray[np.void], schema: pa.Schema) -> pa.Table:
    columns = [pa.array(np.ascontiguousarray(rows[field.name]), field.type) for field in schema]
    return pa.table(columns, schema=schema)
