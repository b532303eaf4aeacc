"""The same parity on synthetic sessions: a whole life of quotes, sweeps, prints, gaps and a settlement."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from kalshi_ray.core.tape import ASK_SIDE, BY_TRADE, LAG_UNKNOWN, OFF_BOOK, TAKER_BOUGHT, TAKER_SOLD, Kind, ViewPack
from kalshi_ray.core.units import MICROSECOND, MILLISECOND
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.synthetic.settings import SynthSettings
from kalshi_ray.data.views import build_pack_from_tables
from tests.core.records import ASK, BID
from tests.exchange.simulator.venue_pair import VenuePair
from tests.reference.matching import Command, Row

KINDS = {
    Kind.SNAPSHOT_LEVEL: "level",
    Kind.SNAPSHOT_END: "end",
    Kind.DELTA: "delta",
    Kind.TRADE: "print",
    Kind.GAP: "gap",
}


@cache
def pack_of(regime: str) -> ViewPack:
    """Half an hour of a few markets."""
    settings = SynthSettings(regime=regime, markets=6, waves=1, hours=0.5, seed=11, gaps_per_hour=4)  # type: ignore[arg-type]
    state = start(settings)
    batches = [batch for updates, _ in run(state) for batch in updates.to_batches()]
    return build_pack_from_tables(state.table, batches, Manifest(id="s", source="synthetic"))


def rows_of(pack: ViewPack, view: int) -> list[Row]:
    """Rows of one view by exchange time, as far as books and prints go."""
    rows = []
    for update in pack.updates[pack.views[view]["start"] : pack.views[view]["stop"]]:
        kind = KINDS.get(Kind(update["kind"]))
        if kind is None or (kind == "print" and update["tick"] < 0):
            continue
        assert update["lag_us"] != LAG_UNKNOWN
        at = (int(update["recv_ns"]) // MICROSECOND - int(update["lag_us"])) * MICROSECOND
        flags = int(update["flags"])
        taker = BID if flags & TAKER_BOUGHT else ASK if flags & TAKER_SOLD else None
        rows.append(
            Row(at, kind, flags & ASK_SIDE, int(update["tick"]), int(update["size"]), bool(flags & BY_TRADE),
                bool(flags & OFF_BOOK), taker)
        )  # fmt: skip
    return rows


def quote_and_take(pair: VenuePair, seed: int, start_ns: int, stop_ns: int) -> None:
    """Orders at and around the touch, at random times; resting ones are left, moved, made smaller or cancelled."""
    chance, now, number = np.random.default_rng(seed), start_ns, 1
    while now < stop_ns:
        now += int(chance.integers(1, 4_000)) * MILLISECOND
        pair.advance(now)
        best, orders = pair.venue["book"]["best"], pair.venue["orders"]
        side = int(chance.integers(2))
        if not 0 <= best[BID] < best[ASK] <= 98 or not pair.market.trades_now:
            continue
        order, other = orders[side], orders[1 - side]
        tick = int(best[side]) + int(chance.integers(-1, 2)) * (1 if side == BID else -1)
        tick = min(max(tick, 0), 98)
        meets = bool(other["live"]) and (tick >= other["tick"] if side == BID else tick <= other["tick"])
        lots, what = int(chance.integers(1, 5_000)), chance.random()
        if what < 0.15:
            far = int(best[1 - side])
            if not other["live"] or (far < other["tick"] if side == BID else far > other["tick"]):
                pair.send(Command("create", 2 + side, number, side, far, lots, rests=False, post_only=False), now)
                number += 1
        elif not order["live"] and not meets:
            pair.send(Command("create", side, number, side, tick, lots, now + 30_000 * MILLISECOND), now)
            number += 1
        elif order["live"] and what < 0.3:
            pair.send(Command("cancel", side, int(order["id"])), now)
        elif order["live"] and not meets and what < 0.5:
            size = int(order["filled"]) + lots
            where = tick if what < 0.4 else int(order["tick"])
            pair.send(Command("amend", side, int(order["id"]), side, where, size, now + 30_000 * MILLISECOND), now)


@pytest.mark.parametrize("regime", ["calibrated", "null"])
def test_one_account_fills_as_in_the_environment_on_synthetic_sessions(regime: str) -> None:
    pack, fills = pack_of(regime), 0
    for view in range(len(pack.views)):
        if pack.views[view]["levels"] != 99:
            continue
        rows = rows_of(pack, view)
        pair = VenuePair(rows, model=view % 3, audited=False)
        quote_and_take(pair, view, rows[0].at, rows[-1].at)
        pair.check_same()
        pair.exchange.audit()
        fills += len(pair.venue_fills)
    assert fills > 20
