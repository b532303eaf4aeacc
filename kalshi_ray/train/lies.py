"""Training environments that lie, one lie each: for ablations alone, which show what the lie is worth.

The honest environment stays as it is underneath, ledger and books included; a wrapper changes what the learner is told.
What is trained here is judged by the honest environment and thrown away: `train/ablations.py` keeps no bundle of it.

    no-mask      every action looks legal; a masked one sends nothing, as the environment rules
    no-fees      the reward gives every fee back
    mid-prices   orders fill at the mid and positions are marked there: the reward knows no spread
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.env.market_env import Batch, MarketVectorEnv
from kalshi_ray.env.settings import PER_MICRO
from kalshi_ray.train.sources import Described, MarketSource

LieName = Literal["no-mask", "no-fees", "mid-prices"]


@dataclass(frozen=True)
class LyingSource:
    """Rows that lie about one thing. Its description says so, in the environment and in the reward."""

    honest: MarketSource
    lie: LieName

    def make(self, rows: int, seed: int) -> Any:
        """`rows` fresh rows whose draws depend on `seed` alone."""
        return LIES[self.lie](self.honest.make(rows, seed))

    def describe(self) -> Described:
        """What the honest source says, and the lie."""
        told = self.honest.describe()
        return replace(told, env={**told.env, "lie": self.lie}, reward=f"{told.reward}, lie: {self.lie}")


class Lying:
    """Passes everything on to honest rows; what a lie changes is overridden."""

    def __init__(self, honest: MarketVectorEnv) -> None:
        self._honest = honest
        self._ended: list[NDArray[np.void]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_honest":  # asked for while it is unpickled
            raise AttributeError(name)
        return getattr(self._honest, name)

    def take_episodes(self) -> NDArray[np.void]:
        """EPISODE records finished since the last call."""
        taken = [*self._ended, self._honest.take_episodes()]
        self._ended = []
        return np.concatenate(taken)

    def _just_ended(self) -> NDArray[np.void]:
        """Records of the episodes that ended in the last step, kept for `take_episodes`."""
        ended = self._honest.take_episodes()
        if len(ended):
            self._ended.append(ended)
        return ended


class WithoutMask(Lying):
    """Every action looks legal."""

    def reset_into(self, batch: Batch) -> None:
        """Start every row."""
        self._honest.reset_into(batch)
        batch.mask[:] = True

    def step_into(self, actions: NDArray[np.int64], batch: Batch) -> None:
        """Advance every row; masked actions send nothing."""
        self._honest.step_into(actions, batch)
        batch.mask[:], batch.final_mask[:] = True, True


class _Retold(Lying):
    """Changes the reward by what the ledger shows before and after a step."""

    def __init__(self, honest: MarketVectorEnv) -> None:
        super().__init__(honest)
        self._per_micro = PER_MICRO[honest.settings.reward_unit]
        self._share = 1.0  # of fees that the cost ramp charges now
        self._fees = np.zeros(honest.num_envs)

    def set_cost_share(self, share: float) -> None:
        """Charge this share of spread and fees."""
        self._share = share
        self._honest.set_cost_share(share)

    def reset_into(self, batch: Batch) -> None:
        """Start every row."""
        self._honest.reset_into(batch)
        self._note()

    def _note(self) -> None:
        """Remember the ledger as it stands."""
        self._fees = self._honest.rows["account"]["fees"].astype(np.float64)

    def _fees_paid(self, ended: NDArray[np.void]) -> NDArray[np.float64]:
        """Micros of fees that the last step booked, before any refund, [B]."""
        now = self._honest.rows["account"]["fees"].astype(np.float64)
        now[ended["row"]] = ended["fees"]
        return np.asarray(now - self._fees, np.float64)


class WithoutFees(_Retold):
    """Gives back in the reward what the ledger charged in fees."""

    def step_into(self, actions: NDArray[np.int64], batch: Batch) -> None:
        """Advance every row."""
        self._honest.step_into(actions, batch)
        paid = self._fees_paid(self._just_ended())
        batch.reward[:] += (paid * self._share * self._per_micro).astype(np.float32)
        self._note()


class AtMid(_Retold):
    """Rewards position x change of the mid, less fees: as if every fill and every mark were at the mid.

    The last step of an episode ends at its honest value: a result is a result.
    """

    def __init__(self, honest: MarketVectorEnv) -> None:
        super().__init__(honest)
        self._mid, self._gap = np.zeros(honest.num_envs), np.zeros(honest.num_envs)

    def step_into(self, actions: NDArray[np.int64], batch: Batch) -> None:
        """Advance every row."""
        self._honest.step_into(actions, batch)
        ended = self._just_ended()
        paid = self._fees_paid(ended) * self._share
        over = batch.terminated | batch.truncated
        position = self._honest.rows["account"]["position"].astype(np.float64)
        gained = position * (self._mids() - self._mid) - paid
        told = np.where(over, batch.reward - self._gap * self._per_micro, gained * self._per_micro)
        batch.reward[:] = told.astype(np.float32)
        self._note()

    def _note(self) -> None:
        super()._note()
        rows = self._honest.rows
        self._mid = self._mids()
        position = rows["account"]["position"].astype(np.float64)
        mark = np.where(position > 0, rows["mark_bid"], rows["mark_ask"])
        self._gap = position * (self._mid - mark)  # what the honest mark is below the mid

    def _mids(self) -> NDArray[np.float64]:
        rows = self._honest.rows
        return np.asarray((rows["mark_bid"].astype(np.float64) + rows["mark_ask"]) / 2.0)


LIES: Mapping[LieName, Callable[[MarketVectorEnv], Lying]] = {
    "no-mask": WithoutMask,
    "no-fees": WithoutFees,
    "mid-prices": AtMid,
}
