"""One market of a session as a person looks at it: the ladder at a time, the last prints, the path of its price."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import OFF_BOOK, TAKER_BOUGHT, TAKER_SOLD, Kind, Status, ViewPack
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR
from kalshi_ray.data.analysis.wording import utc_text
from kalshi_ray.data.measures import MEASURES, OPEN, make_survey, measure_one, quote_state, spans_of
from kalshi_ray.data.replay import apply_row, make_replay, start_view, tape_of
from kalshi_ray.data.session import Session
from kalshi_ray.data.views import build_pack
from kalshi_ray.errors import NothingToDo, UnknownName, UsageError

STATES = ("unknown", "not active", "crossed", "open")
_BLOCKS = "▁▂▃▄▅▆▇█"


class LadderLevel(msgspec.Struct, frozen=True):
    """A price with what rests there, contracts; 0 on the other side."""

    cents: float
    bid_contracts: float
    ask_contracts: float


class PrintLine(msgspec.Struct, frozen=True):
    """A public print. `taker`: bought, sold or unknown; `off_book`: a block or off-grid print."""

    recv_ns: int
    cents: float | None
    contracts: float
    taker: str
    off_book: bool


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """What `sessions view` shows of a market at a time."""

    session: str
    ticker: str
    event: str
    first_ns: int
    last_ns: int
    at_ns: int
    updates: int  # applied by then
    state: str  # unknown | not active | crossed | open
    status: str  # settled, or the name of a Status
    close_ns: int  # scheduled, as known then; 0 unknown
    taker_fee_rate: float
    maker_fee_rate: float
    bid_cents: float | None
    ask_cents: float | None
    sizes: str  # observed | assumed
    ladder: list[LadderLevel]  # best asks down to the best, then bids
    hidden_levels: int  # further out than asked for
    prints: list[PrintLine]  # last ones, newest first
    price_path: str  # the mid over the whole view, one character per stretch of time; · where there is none
    path_low_cents: float | None
    path_high_cents: float | None


@kernel
def replay_until(tape, replay, view, until_ns):
    """Replay a view up to and including `until_ns`; return the row after the last one applied."""
    book, state = replay.book[0], replay.state[0]
    start_view(book, state, tape.axes, view)
    at = view.start
    while at < view.stop and tape.updates[at].recv_ns <= until_ns:
        apply_row(book, state, tape.updates[at], tape.values)
        at += 1
    return at


def busiest_market(session: Session) -> str:
    """The ticker with the most updates. NothingToDo where the session has none."""
    markets = session.updates(columns=["market"])["market"].to_numpy()
    counts = np.bincount(markets[markets >= 0])
    if not len(counts):
        raise NothingToDo(f"session {session.id!r} has no update of a market")
    return session.tickers()[int(counts.argmax())]


def view_session(
    source: Session | ViewPack, ticker: str, at: int | None = None, *, rows: int = 10, width: int = 72
) -> SessionView:
    """The market at time `at` in nanoseconds, its end by default; at most `rows` levels a side and `rows` prints.

    UnknownName for a ticker the session does not have; UsageError for a time outside the market's recording.
    """
    pack = build_pack(source, tickers=[ticker]) if isinstance(source, Session) else source
    if ticker not in pack.tickers:
        raise UnknownName("market", ticker, list(pack.tickers))
    number = pack.tickers.index(ticker)
    view, tape, room = pack.views[number], tape_of(pack), make_replay(pack.max_levels)
    first, last = (int(pack.updates["recv_ns"][row]) for row in (view["start"], view["stop"] - 1))
    until = last if at is None else at
    if not first <= until <= last:
        asked, known = utc_text(until, fine=True), f"{utc_text(first)} to {utc_text(last)} UTC"
        raise UsageError(f"{ticker} was not recorded at {asked} UTC", remedy=f"Ask for a time from {known}")
    stop = int(replay_until(tape, room, tape.views[number], until))
    axis = pack.axes[view["axis"]][: view["levels"]]
    ladder, hidden = _ladder(room.book["recorded"][0, :, : len(axis)], axis, rows)
    path, low, high = _price_path(pack, number, width)
    book, state = room.book[0], room.state[0]
    quote = int(quote_state(book, state))
    bids, asks = ([x.cents for x in ladder if getattr(x, f"{side}_contracts") > 0] for side in ("bid", "ask"))
    return SessionView(
        session=pack.session,
        ticker=ticker,
        event=pack.events[view["event"]],
        first_ns=first,
        last_ns=last,
        at_ns=until,
        updates=stop - int(view["start"]),
        state=STATES[quote],
        status="settled" if state["settled"] else Status(int(state["status"])).name.lower(),
        close_ns=int(state["close_ns"]),
        taker_fee_rate=int(state["taker_ppm"]) / 1e6,
        maker_fee_rate=int(state["maker_ppm"]) / 1e6,
        bid_cents=max(bids, default=None),
        ask_cents=min(asks, default=None),
        sizes=pack.sizes,
        ladder=ladder,
        hidden_levels=hidden,
        prints=_last_prints(pack, view, stop, axis, rows),
        price_path=path,
        path_low_cents=low,
        path_high_cents=high,
    )


def _ladder(lots: NDArray[np.int64], axis: NDArray[np.int32], rows: int) -> tuple[list[LadderLevel], int]:
    """Levels nearest to the touch, highest price first; and how many more there are. `lots` is [2, L]."""
    bids, asks = np.flatnonzero(lots[0])[::-1], np.flatnonzero(lots[1])
    shown = sorted({*bids[:rows].tolist(), *asks[:rows].tolist()}, reverse=True)
    found = [
        LadderLevel(float(axis[tick]) / CENT, float(lots[0, tick]) / CONTRACT, float(lots[1, tick]) / CONTRACT)
        for tick in shown
    ]
    return found, max(0, len(bids) - rows) + max(0, len(asks) - rows)


def _last_prints(pack: ViewPack, view: np.void, stop: int, axis: NDArray[np.int32], rows: int) -> list[PrintLine]:
    updates = pack.updates[view["start"] : stop]
    found = updates[updates["kind"] == Kind.TRADE][::-1][:rows]
    lines = []
    for update in found:
        flags, tick = int(update["flags"]), int(update["tick"])
        taker = "bought" if flags & TAKER_BOUGHT else "sold" if flags & TAKER_SOLD else "unknown"
        cents = float(axis[tick]) / CENT if tick >= 0 else None
        size = float(update["size"]) / CONTRACT
        lines.append(PrintLine(int(update["recv_ns"]), cents, size, taker, bool(flags & OFF_BOOK)))
    return lines


def _price_path(pack: ViewPack, number: int, width: int) -> tuple[str, float | None, float | None]:
    """The mid at `width` times spread evenly over the view, as blocks between its lowest and highest; both in cents."""
    view = pack.views[number]
    survey = make_survey(int(view["stop"] - view["start"]) + 1, 0)
    measure = as_rows(np.zeros(1, MEASURES))
    measure_one(tape_of(pack), make_replay(pack.max_levels), number, spans_of(pack), measure[0], survey)
    path = np.asarray(survey.path[: survey.used[0]])
    times = np.linspace(path["recv_ns"][0], path["recv_ns"][-1], width, endpoint=False).astype(np.int64)
    there = path[np.searchsorted(path["recv_ns"], times, side="right") - 1]
    two_sided = (there["state"] == OPEN) & (there["bid"] > 0) & (there["ask"] < DOLLAR)
    if not two_sided.any():
        return "·" * width, None, None
    mid = (there["bid"] + there["ask"]) / (2.0 * CENT)
    low, high = float(mid[two_sided].min()), float(mid[two_sided].max())
    steps = ((mid - low) / max(high - low, 1e-9) * (len(_BLOCKS) - 1)).round().astype(int)
    blocks = "".join(_BLOCKS[step] if seen else "·" for step, seen in zip(steps.tolist(), two_sided.tolist()))
    return blocks, low, high
