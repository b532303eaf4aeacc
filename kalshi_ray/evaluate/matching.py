"""A random trader that trades like a judged policy: as often, as much, as long and at the same prices, without a view.

Its chance of an entry comes from the judged ledger and is corrected by a rehearsal until the turnover agrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.actions import action_space
from kalshi_ray.evaluate.ledger import Ending, Ledger, parts_of, trades_of
from kalshi_ray.policy.memory import Memory
from kalshi_ray.policy.protocol import PolicyState, keyed_uniform
from kalshi_ray.policy.taking import largest_step

POINTS = 101  # quantiles kept of a distribution
BAND = (1, 99)  # per cent of entry prices that the band spans
FOREVER = 2**62  # ns

PLAN = np.dtype(
    [
        ("wanted", np.int64),  # signed lots; 0: waits for an entry
        ("until_ns", np.int64),  # when it closes
    ]
)


@dataclass(frozen=True)
class Profile:
    """How a policy trades, from its ledger."""

    chance: float  # of an entry, by decision at which it holds nothing
    longs: float  # share of entries
    bands: tuple[tuple[int, int], tuple[int, int]]  # pips within which longs and shorts are entered
    lots: NDArray[np.int64]  # [POINTS] quantiles of what an entry opens
    holding_ns: NDArray[np.int64]  # [POINTS] quantiles of holding times that the end does not cut
    to_the_end: float  # share of entries that it never closes itself
    turnover: float  # lots opened a decision


def profile_of(ledger: Ledger) -> Profile | None:
    """What to imitate of a ledger; None where it never traded."""
    trades = trades_of(ledger, parts_of(ledger))
    if not len(trades):
        return None
    long = trades["side"] > 0
    price = trades["entry_value"] / trades["lots"]
    held = (trades["closed_ns"] - trades["opened_ns"]).astype(np.int64)
    closed = trades["ending"] == int(Ending.FLAT)
    total_ns = int((ledger.end_ns - ledger.episodes["started_ns"]).sum())
    decisions = int(ledger.episodes["steps"].sum())
    flat = max(1.0, decisions * (1.0 - float(held.sum()) / max(1, total_ns)))
    holding_ns, to_the_end = survival(held, closed)
    return Profile(
        chance=min(1.0, len(trades) / flat),
        longs=float(long.mean()),
        bands=(_band(price[long]), _band(price[~long])),
        lots=_quantiles(trades["lots"]),
        holding_ns=holding_ns,
        to_the_end=to_the_end,
        turnover=turnover(ledger),
    )


def turnover(ledger: Ledger) -> float:
    """Lots opened a decision."""
    trades = trades_of(ledger, parts_of(ledger))
    return float(trades["lots"].sum()) / max(1, int(ledger.episodes["steps"].sum()))


def corrected(profile: Profile, rehearsed: Ledger) -> Profile:
    """The profile with the chance at which the turnover of a rehearsal would have been the judged one."""
    reached = turnover(rehearsed)
    if not reached:
        return replace(profile, chance=min(1.0, 10.0 * profile.chance))
    return replace(profile, chance=min(1.0, profile.chance * profile.turnover / reached))


def survival(held: NDArray[np.int64], closed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], float]:
    """Quantiles of holding times [POINTS] and the share that is never closed, after Kaplan and Meier.

    What was still held at the end of its market would have been held longer: it counts as not closed until then.
    """
    order = np.lexsort((~closed, held))  # of equal times, the closed ones come first
    at_risk = np.arange(len(held), 0, -1)
    left = np.cumprod(1.0 - closed[order] / at_risk)
    ends = closed[order]
    if not ends.any():
        return np.zeros(POINTS, np.int64), 1.0
    share = (1.0 - left[ends]) / (1.0 - left[-1])
    quantiles = held[order][ends][np.searchsorted(share, np.linspace(0, 1, POINTS) - 1e-12)]
    return np.asarray(quantiles, np.int64), float(left[-1])


def _quantiles(values: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(values):
        return np.zeros(POINTS, np.int64)
    return np.asarray(np.quantile(values, np.linspace(0, 1, POINTS)).round(), np.int64)


def _band(prices: NDArray[np.float64]) -> tuple[int, int]:
    if not len(prices):
        return 0, 0
    low, high = np.percentile(prices, BAND)
    return int(np.floor(low)), int(np.ceil(high))


class MatchedRandom:
    """Enters by chance alone, at the rate, prices, sizes and holding times of the policy that `profile` describes.

    It takes from the action space even where that policy rests: equal turnover, not equal fills. Sizes that the
    action space does not have are approached from below, the smallest from above.
    """

    needs: Literal["actions"] = "actions"

    def __init__(self, profile: Profile, *, of: str, rests: bool, name: str = "random") -> None:
        self.name = name
        self.profile = profile
        self.decide = f"matched to {of} in turnover, sizes, holding time and price band"
        if rests:
            self.decide += "; takes where that rests"
        self._seed = 0
        self._plans = Memory(PLAN)

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """Forget all plans; the draws depend on `seed` from here on."""
        self._seed = seed
        self._plans.forget(views)

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """The largest legal order on the way to what was drawn, else HOLD, [B]."""
        rows, at = state.rows, self._plans.at(state)
        now, position = rows["now_ns"], rows["account"]["position"].astype(np.int64)
        plan = self._plans.records[at]
        plan["wanted"][now >= plan["until_ns"]] = 0
        self._draw(plan, state, position)
        self._plans.records[at] = plan
        wanted = plan["wanted"] - position
        adds = wanted * plan["wanted"] > 0
        return largest_step(state, np.where(adds & ~self._in_band(plan["wanted"], rows), 0, wanted))

    def _in_band(self, wanted: NDArray[np.int64], rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether the price at which each row would enter lies in the band of its side, [B]."""
        price = np.where(wanted > 0, rows["best_ask"], rows["best_bid"])
        (long_low, long_high), (short_low, short_high) = self.profile.bands
        low, high = np.where(wanted > 0, long_low, short_low), np.where(wanted > 0, long_high, short_high)
        two_sided = (rows["best_bid"] > 0) & (rows["best_ask"] > 0)
        return np.asarray(two_sided & (price >= low) & (price <= high))

    def _draw(self, plan: NDArray[np.void], state: PolicyState, position: NDArray[np.int64]) -> None:
        """Plan an entry where chance says so; what is still held may be turned, not enlarged."""
        profile = self.profile
        chance, side, size, time, end = (
            keyed_uniform(self._seed, state.market, state.decision, stream=stream) for stream in range(2, 7)
        )
        sign = np.where(side < profile.longs, 1, -1)
        idle = (plan["wanted"] == 0) & (sign * position <= 0)
        enters = idle & (chance < profile.chance) & self._in_band(sign, state.rows)
        lots = np.maximum(_at(profile.lots, size), _smallest(state))
        until = state.rows["now_ns"] + np.maximum(_at(profile.holding_ns, time), 1)
        plan["wanted"] = np.where(enters, sign * lots, plan["wanted"])
        plan["until_ns"] = np.where(enters, np.where(end < profile.to_the_end, FOREVER, until), plan["until_ns"])


def _at(quantiles: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.interp(share * (POINTS - 1), np.arange(POINTS), quantiles).round(), np.int64)


def _smallest(state: PolicyState) -> int:
    """Lots of the smallest order of the action space."""
    return int(action_space(state.action_space).table["size"][1:].min())
