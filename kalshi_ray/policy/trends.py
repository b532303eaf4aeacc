"""Takers that follow a rule of thumb about the price: with its move, against it, or away from longshots."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.orders import OrderState
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, SECOND
from kalshi_ray.errors import UsageError
from kalshi_ray.policy.memory import Memory
from kalshi_ray.policy.protocol import PolicyState
from kalshi_ray.policy.taking import largest_step

SAMPLES = 16  # mids kept a window: the reference is at most a sixteenth of it too old

PATH = np.dtype(
    [
        ("ns", np.int64, SAMPLES + 2),  # of the mids kept, the newest first; 0: none
        ("twice_mid", np.int64, SAMPLES + 2),  # half pips
        ("signal", np.int8),  # at the last decision
        ("side", np.int8),  # wanted position: +1 long, -1 short
        ("since_ns", np.int64),  # when it was first wanted
    ]
)

ENTERED = np.dtype([("done", np.bool_)])


class Momentum:
    """Buys after a rise and sells after a fall: a move goes on.

    The signal is the sign of the mid's move over `window_s`, where the move is at least `threshold` cents, else 0. A
    signal that comes up is followed with a position of `size` contracts until the opposite one comes up, until
    `hold_s` have passed (0: no time stop) or until the end. Source: T. Moskowitz, Y. H. Ooi and L. H. Pedersen, Time
    series momentum, Journal of Financial Economics 104 (2012), at the time scale of one market.
    """

    needs: Literal["actions"] = "actions"
    way = 1  # of the position for a move up

    def __init__(
        self,
        window_s: float = 60.0,
        threshold: float = 2.0,
        size: int = 10,
        hold_s: float = 0.0,
        name: str = "momentum",
    ) -> None:
        if not (window_s > 0 and threshold > 0 and size >= 1 and hold_s >= 0):
            raise UsageError(
                f"window_s {window_s}, threshold {threshold}, size {size} and hold_s {hold_s}: expected a window and "
                "a threshold above 0, a size of at least 1 and a time stop of at least 0"
            )
        self.name = name
        self.window_s, self.threshold, self.size, self.hold_s = window_s, threshold, size, hold_s
        self._paths = Memory(PATH)

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """Forget every mid and every signal."""
        del seed
        self._paths.forget(views)

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """The largest legal order on the way to the wanted position, else HOLD, [B]."""
        at, now = self._paths.at(state), state.rows["now_ns"]
        path = self._paths.records[at]
        signal = self.way * np.sign(self._move(path, state.rows)).astype(np.int8)
        fresh = (signal != 0) & (signal != path["signal"])
        changed = fresh & (signal != path["side"])
        path["since_ns"] = np.where(changed, now, path["since_ns"])
        path["side"] = np.where(fresh, signal, path["side"])
        if self.hold_s:
            stopped = ~fresh & (now - path["since_ns"] >= round(self.hold_s * SECOND))
            path["side"] = np.where(stopped, 0, path["side"])
        path["signal"] = signal
        self._paths.records[at] = path
        wanted = path["side"].astype(np.int64) * self.size * CONTRACT
        return largest_step(state, wanted - state.rows["account"]["position"])

    def _move(self, path: NDArray[np.void], rows: NDArray[np.void]) -> NDArray[np.float64]:
        """Cents that the mid moved over the window, [B]; 0 below the threshold or without a mid. Keeps the mid."""
        now, window = rows["now_ns"], round(self.window_s * SECOND)
        two_sided = (rows["best_bid"] > 0) & (rows["best_ask"] > 0)
        twice_mid = rows["best_bid"].astype(np.int64) + rows["best_ask"]
        old_enough = (path["ns"] > 0) & (path["ns"] <= (now - window)[:, None])
        newest = np.argmax(old_enough, axis=1)
        before = path["twice_mid"][np.arange(len(rows)), newest]
        keep = two_sided & (now - path["ns"][:, 0] >= window // SAMPLES)
        for name, value in (("ns", now), ("twice_mid", twice_mid)):
            path[name][keep] = np.c_[value, path[name][:, :-1]][keep]
        move = (twice_mid - before) / (2.0 * CENT)
        counts = two_sided & old_enough.any(axis=1) & (np.abs(move) >= self.threshold)
        return np.where(counts, move, 0.0)


class MeanReversion(Momentum):
    """Sells after a rise and buys after a fall: a move was too much.

    `Momentum` with every signal turned round. Source: B. Lehmann, Fads, martingales, and market efficiency, Quarterly
    Journal of Economics 105 (1990): what moved most in the short run comes back.
    """

    way = -1

    def __init__(
        self,
        window_s: float = 60.0,
        threshold: float = 2.0,
        size: int = 10,
        hold_s: float = 0.0,
        name: str = "mean-reversion",
    ) -> None:
        super().__init__(window_s, threshold, size, hold_s, name)


class LongshotFade:
    """Bets against longshots: sells YES where its mid is below `longshot` cents, buys it where NO's is.

    One entry of at most `size` contracts a market, held to the settlement. Source: the favourite-longshot bias
    (R. Thaler and W. Ziemba, Journal of Economic Perspectives 2 (1988)): low prices win less often than they cost.
    """

    needs: Literal["actions"] = "actions"

    def __init__(self, longshot: float = 15.0, size: int = 10, name: str = "longshot-fade") -> None:
        if not 0 < longshot < 50 or size < 1:
            raise UsageError(f"longshot {longshot} and size {size}: expected 0 < longshot < 50 cents and size >= 1")
        self.name = name
        self.longshot, self.size = longshot, size
        self._entered = Memory(ENTERED)

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """Every market may be entered again."""
        del seed
        self._entered.forget(views)

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """The largest legal order against the longshot until one has filled, then HOLD, [B]."""
        rows, at = state.rows, self._entered.at(state)
        self._entered.records["done"][at] |= rows["fills"] > 0
        waits = (rows["orders"]["state"] != OrderState.FREE).any(axis=1)
        two_sided = (rows["best_bid"] > 0) & (rows["best_ask"] > 0)
        cents = (rows["best_bid"] + rows["best_ask"]) / (2.0 * CENT)
        against = (cents > DOLLAR / CENT - self.longshot).astype(np.int64) - (cents < self.longshot)
        enters = two_sided & ~waits & ~self._entered.records["done"][at]
        return largest_step(state, np.where(enters, against * self.size * CONTRACT, 0))
