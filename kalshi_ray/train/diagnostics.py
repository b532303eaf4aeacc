"""What a runner counts while it samples, and the refusal of rewards and observations that are no numbers.

Cheap by construction: one small kernel a step, a few passes over the columns of a fragment, and the ledgers of the
rows before and after it. Their change over a fragment is exact, whatever ended in between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.features import FACTS
from kalshi_ray.core.jit import as_rows
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.errors import DataError
from kalshi_ray.train.counting import (
    GLANCE,
    LEDGER,
    count_cuts,
    count_decisions,
    glance,
    measure_features,
    read_ledger,
)
from kalshi_ray.train.rollout import Rollout
from kalshi_ray.train.sources import RowsEnv
from kalshi_ray.train.tally import ACCOUNTS, FEATURE_SUMS, SUMMED, Tally, add_to

# Field of LEDGER: field of the EPISODE record that ends the count.
ENDED = {name: name for name in LEDGER.names or ()} | {
    "equity": "equity_end", "sent": "orders_sent", "filled_orders": "orders_filled",
}  # fmt: skip
RAW_EVERY = 64  # steps between two looks at values before they are cut to their range
ODD_SIZES = 1 << 14  # orders cut to what is held that one fragment keeps


class Diagnostics:
    """Counts the fragments of one runner: `begin`, `after` every step, `finish`; `take` hands over the sums."""

    def __init__(self, rows: RowsEnv, features: list[str]) -> None:
        self._rows = rows
        self._market = rows if isinstance(rows, MarketVectorEnv) else None
        self._features = features
        actions = int(rows.single_action_space.n)
        self._shape = (actions, len(features))
        numbers = np.arange(1, actions + 1, dtype=np.float64)
        self._weights = np.concatenate([[0.0], 1.0 / numbers])
        self._logs = np.concatenate([[0.0], np.log(numbers)])
        self._sizes = np.zeros(actions, np.int64)
        self._odd = np.zeros(ODD_SIZES, np.int64)
        self._base = np.zeros((5, len(features)), np.float32)
        if self._market is not None:
            self._traders = self._market.rows
            layout = self._market.layout
            facts = as_rows(np.zeros(1, FACTS))
            self._sizes = np.array(self._market.actions.table["size"], np.int64)
            self._rules = as_rows(self._market.settings.rules())
            self._raw = (facts, facts.view(np.float32), layout.index, layout.low, layout.high)
        self._seen = as_rows(np.zeros((1, rows.num_envs), GLANCE))
        self._before, self._now = as_rows(np.zeros(1, LEDGER)), as_rows(np.zeros(1, LEDGER))
        self.tally = self._empty()

    def _empty(self) -> Tally:
        return Tally.empty(*self._shape, knows_markets=self._market is not None)

    def begin(self, steps: int) -> None:
        """A fragment of `steps` decisions of every row begins."""
        if len(self._seen) != steps + 1:
            self._seen = as_rows(np.zeros((steps + 1, self._rows.num_envs), GLANCE))
        if self._market is not None:
            read_ledger(self._traders, self._before)
            glance(self._traders, self._seen, 0)

    def after(self, t: int) -> None:
        """Step `t` of the fragment is done."""
        if self._market is None:
            return
        glance(self._traders, self._seen, t + 1)
        if t % RAW_EVERY == 0:
            count_cuts(self._traders, self._rules[0], *self._raw, self.tally.features["cut"])
            self.tally.looked += self._rows.num_envs

    def finish(self, rollout: Rollout, episodes: NDArray[np.void], *, steps: int) -> None:
        """Count the fragment. DataError where a number is none: `steps` of the run lay before this iteration."""
        tally = self.tally
        steps += int(tally.sums["steps"][0])
        found = count_decisions(
            rollout.mask, rollout.action, rollout.logp, rollout.reward, rollout.alive, self._seen, self._sizes,
            self._weights, self._logs, as_rows(tally.sums), as_rows(tally.by_action), as_rows(tally.by_bin), self._odd,
        )  # fmt: skip
        if found:
            tally.odd = np.unique(np.concatenate([tally.odd, self._odd[:found]]))
        finite = self._count_features(rollout)
        if not finite or not np.isfinite(tally.sums["reward"][0]):
            raise self._failure(rollout, steps)
        self._count_episodes(episodes)

    def _count_features(self, rollout: Rollout) -> bool:
        """Add the observations of a fragment; whether all that it holds are finite."""
        seen = rollout.observation
        base, least, largest, total, square = self._base
        base[:], least[:], largest[:], total[:], square[:] = seen[0, 0], np.inf, -np.inf, 0.0, 0.0
        measure_features(seen[:-1], base, least, largest, total, square)
        # What comes after the last step is counted with the next fragment, but the value of it is learnt from now.
        if not np.isfinite(total.sum() + seen[-1].sum() + rollout.last_observation.sum()):
            return False
        count, away = rollout.action.size, base.astype(np.float64)
        found = np.zeros(len(base), FEATURE_SUMS)
        found["least"], found["largest"] = least, largest
        found["total"] = total + count * away
        found["square"] = square + 2.0 * away * total + count * away * away
        self.tally.add_features(found)
        self.tally.observed += count
        return True

    def _count_episodes(self, episodes: NDArray[np.void]) -> None:
        tally = self.tally
        if len(episodes):
            tally.episodes += len(episodes)
            add_to(tally.episode, {name: float(episodes[name].sum()) for name in SUMMED})
        if self._market is None:
            return
        read_ledger(self._traders, self._now)
        change = {name: float(self._now[name][0] - self._before[name][0]) for name in ENDED}
        if len(episodes):
            for name, ended in ENDED.items():
                change[name] += float(episodes[ended].sum())
            change["equity"] -= float(episodes["equity_start"].sum())
        add_to(tally.ledger, change)
        rules = self._market.settings.reward_rules()[0]
        refund = change["refund"]
        parts = {
            "equity": (change["equity"] - refund) * rules["per_micro"],
            "refund": refund * rules["per_micro"],
            "shaping": change["holds"] * rules["hold_bonus"]
            - change["spread_cost"] * rules["per_micro"] * rules["spread_penalty"],
        }
        add_to(tally.rewards, {name: float(value) for name, value in parts.items()})

    def take(self, cost_share: float) -> Tally:
        """The sums since the last call."""
        taken, self.tally = self.tally, self._empty()
        taken.cost_share = cost_share
        if self._market is not None:
            traders = self._traders.view(np.ndarray)
            taken.accounts = {
                "equity": traders["equity"].copy(),
                "cash": traders["account"]["cash"].copy(),
                "position": traders["account"]["position"].copy(),
                "drawdown": traders["drawdown"].copy(),
            }
            assert tuple(taken.accounts) == ACCOUNTS
        return taken

    def _failure(self, rollout: Rollout, steps: int) -> DataError:
        """Name the first number that is none."""
        found = [
            (t, 0, row, self._features[f], seen[t, row, f])
            for seen in [rollout.observation]
            for t, row, f in _bad(seen)
        ]
        found += [(t, 1, row, "reward", rollout.reward[t, row]) for t, row in _bad(rollout.reward)]
        last = rollout.last_observation
        found += [
            (int(rollout.ends[n, 0]), 2, int(rollout.ends[n, 1]), self._features[f], last[n, f]) for n, f in _bad(last)
        ]
        t, _, row, name, value = min(found, key=lambda place: place[:3])
        step = steps + t * self._rows.num_envs + row
        return DataError(
            f"{name} of {self._market_of(t, row)} is {value} at step {step:,} of the run",
            remedy="Look at the market's recording and its signals, mend them or leave it out",
        )

    def _market_of(self, t: int, row: int) -> str:
        if self._market is None:
            return f"row {row}"
        return f"market {self._market.pack.tickers[self._seen['view_index'][t, row]]}"


def _bad(values: NDArray[np.float32]) -> list[list[int]]:
    found: list[list[int]] = np.argwhere(~np.isfinite(values)).tolist()
    return found
