"""Negative controls of a judged policy: what it earns by skill, these must lose.

other market's observations   decides on another market of the batch, under the mask of its own
sign flipped                  every order turned round: BUY YES for BUY NO, SELL YES for SELL NO
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.actions import Intent, action_space
from kalshi_ray.core.orders import QUOTE
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.contest import Contestant, Markets
from kalshi_ray.policy.inference import NetworkPolicy
from kalshi_ray.policy.protocol import Policy, PolicyState, decide, market_key
from kalshi_ray.policy.taking import HOLD_ID, first_legal

_MIRRORED = {
    Intent.HOLD: Intent.HOLD,
    Intent.BUY_YES: Intent.BUY_NO,
    Intent.BUY_NO: Intent.BUY_YES,
    Intent.SELL_YES: Intent.SELL_NO,
    Intent.SELL_NO: Intent.SELL_YES,
}


class _Control:
    """A policy seen through a distortion."""

    def __init__(self, policy: Policy, words: str) -> None:
        self.inner = policy
        self.name = f"{policy.name}, {words}"
        self.decide: str = getattr(policy, "decide", "")

    @property
    def needs(self) -> Literal["actions", "quotes"]:
        """As the judged policy."""
        return self.inner.needs

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """Reset the judged policy."""
        self.inner.reset(views, seed)


class OtherMarket(_Control):
    """Decides for each market on what it sees of another one in the batch, of another event where there is one.

    Networks get the other market's observation and the mask of their own. Other policies get its rows too, with the
    account and the orders of their own. A row without another market to look at holds.
    """

    def __init__(self, policy: Policy, keys: NDArray[np.uint64], events: NDArray[np.int32]) -> None:
        super().__init__(policy, "other market's observations")
        order = np.argsort(keys)
        self._keys, self._events = keys[order], events[order]

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """The policy's action ids on the other market, [B]."""
        other = self._partners(state)
        answer = decide(self.inner, self._shown(state, np.maximum(other, 0)))
        return np.where(other >= 0, answer, first_legal(state.mask))

    def quote(self, state: PolicyState) -> NDArray[np.void]:
        """The policy's QUOTE records on the other market, [B]."""
        other = self._partners(state)
        answer = decide(self.inner, self._shown(state, np.maximum(other, 0)))
        answer[other < 0] = np.zeros((), QUOTE)
        return answer

    def _shown(self, state: PolicyState, other: NDArray[np.intp]) -> PolicyState:
        rows = state.rows
        if not isinstance(self.inner, NetworkPolicy):  # which reads observation and mask alone
            rows = state.rows[other]
            for own in ("account", "orders"):
                rows[own] = state.rows[own]
        return replace(
            state,
            observation=state.observation[other],
            rows=rows,
            decision=state.decision[other],
            market=state.market[other],
        )

    def _partners(self, state: PolicyState) -> NDArray[np.intp]:
        """The next playing row of another event, else of another market, by row [B]; -1: there is none."""
        playing = np.flatnonzero(state.market != 0)
        found = np.full(len(state.market), -1)
        if not len(playing):
            return found
        market = state.market[playing]
        event = self._events[np.minimum(np.searchsorted(self._keys, market), len(self._keys) - 1)]
        chosen = np.full(len(playing), -1)
        for same in (event, market):
            for step in range(1, len(playing)):
                open_rows = (chosen < 0) & (same != np.roll(same, -step))
                if open_rows.any():
                    chosen[open_rows] = np.roll(playing, -step)[open_rows]
                if (chosen >= 0).all():
                    break
        found[playing] = chosen
        return found


class SignFlipped(_Control):
    """Sends the mirror image of every order. The policy sees mask and position mirrored, so that it chooses only what
    can be sent, and closes what it has opened."""

    def __init__(self, policy: Policy, space: str) -> None:
        super().__init__(policy, "sign flipped")
        self._mirror = mirrored_ids(space)

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """The mirrored ids of the policy's answers, [B]; HOLD where the mirrored order is masked."""
        rows = state.rows
        if not isinstance(self.inner, NetworkPolicy):
            rows = state.rows.copy()
            rows["account"]["position"] *= -1
        mirror = self._mirror
        answer = mirror[decide(self.inner, replace(state, mask=state.mask[:, mirror], rows=rows))]
        legal = state.mask[np.arange(len(answer)), answer]
        return np.where(legal, answer, np.where(state.mask[:, HOLD_ID], HOLD_ID, first_legal(state.mask)))


def mirrored_ids(space: str) -> NDArray[np.int64]:
    """The id of the same order on the other outcome, by id, [A]; -1 where the space has none."""
    table = action_space(space).table
    ids = {(int(row["intent"]), int(row["pricing"]), int(row["size"])): at for at, row in enumerate(table)}
    wanted = [(int(_MIRRORED[Intent(int(row["intent"]))]), int(row["pricing"]), int(row["size"])) for row in table]
    return np.array([ids.get(one, -1) for one in wanted], np.int64)


def controls_of(
    judged: Sequence[Contestant], pack: ViewPack, markets: Markets, env: EnvSettings, *, alone: bool
) -> list[tuple[Contestant, str]]:
    """Both controls of each judged policy, each with why it is not measurable (empty where it is).

    `alone`: a shard has one market, which has no other one to look at.
    """
    keys = np.array([market_key(pack.tickers[view]) for view in markets.views], np.uint64)
    events = np.asarray(pack.views["event"][markets.views], np.int32)
    has_mirror = bool((mirrored_ids(env.action_space) >= 0).all())
    found: list[tuple[Contestant, str]] = []
    for one in judged:
        pairs: list[tuple[Any, str]] = [
            (OtherMarket(one.policy, keys, events), "one market: there is no other one to look at" if alone else ""),
            (SignFlipped(one.policy, env.action_space), _why_not_flipped(one.policy, env, has_mirror)),
        ]
        found += [(Contestant(control, "control", of=one.policy.name), why) for control, why in pairs]
    return found


def _why_not_flipped(policy: Policy, env: EnvSettings, has_mirror: bool) -> str:
    if policy.needs == "quotes":
        return "a quote stands on both sides: turned round it is no order"
    return "" if has_mirror else f"{env.action_space} has orders without a mirror image"
