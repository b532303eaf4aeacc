"""The plain reference: a view replayed with a dictionary for a book, one state per row."""

from __future__ import annotations

from typing import Any

from kalshi_ray.core.tape import ASK_SIDE, Kind, ViewPack

State = dict[str, Any]


def reference_states(pack: ViewPack, view: int) -> list[State]:
    """The state before every row of a view and after the last, by a dictionary book."""
    found = pack.views[view]
    state: State = {"known": 0, "book": {}, "grid": int(found["grid"]), "status": int(found["status"])}
    state |= {"close_ns": int(found["close_ns"]), "fees": (int(found["taker_ppm"]), int(found["maker_ppm"]))}
    in_snapshot, states = False, []
    for u in pack.updates[found["start"] : found["stop"]]:
        states.append(state | {"book": dict(state["book"]), "in_snapshot": int(in_snapshot)})
        key, size, kind = (int(u["flags"] & ASK_SIDE), int(u["tick"])), int(u["size"]), Kind(int(u["kind"]))
        if kind == Kind.SNAPSHOT_LEVEL:
            state["book"] = (state["book"] if in_snapshot else {}) | {key: size}
            state["known"], in_snapshot = 0, True
        elif kind == Kind.SNAPSHOT_END:
            state["book"] = state["book"] if in_snapshot else {}
            state["known"], in_snapshot = 1, False
        elif kind == Kind.DELTA and state["known"]:
            state["book"][key] = state["book"].get(key, 0) + size
        elif kind == Kind.GAP:
            state["known"], in_snapshot = 0, False
        elif kind == Kind.STATUS:
            state["status"] = size
        elif kind == Kind.SCHEDULE:
            state["close_ns"] = int(pack.values[size])
        elif kind == Kind.GRID:
            state["grid"] = int(pack.values[size])
        elif kind == Kind.FEE:
            state["fees"] = tuple(pack.values[size : size + 2].tolist())
        state["book"] = {k: v for k, v in state["book"].items() if v}
    states.append(state | {"in_snapshot": int(in_snapshot)})
    return states


def best_prices(pack: ViewPack, view: int, state: State) -> tuple[int, int]:
    """Best bid and ask of a state in pips; a missing bid is 0, a missing ask one dollar."""
    axis = pack.axes[pack.views[view]["axis"]]
    bids, asks = ([int(axis[tick]) for side, tick in state["book"] if side == own] for own in (0, 1))
    return max(bids, default=0), min(asks, default=10_000)
