"""A stand-in for the market rows: the `planted` regime as a toy in floats, one decision a second.

A signal stands for three steps, then the price jumps eight cents its way nine times of ten. Spread two to three cents
and the taker fee: trading without a signal loses. Same API as the real rows, so that training is tested without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numba
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.registry import contract_of
from kalshi_ray.train.sources import Described

LIMIT = 50.0
FEATURES, ACTIONS = 54, 21
ROW = np.dtype(
    [
        ("price", "f8"), ("cash", "f8"), ("position", "f8"), ("signal", "f8"), ("left", "i8"), ("step", "i8"),
        ("equity", "f8"), ("began", "f8"), ("edge", "f8"), ("reward", "f8"), ("fills", "i8"), ("holds", "i8"),
        ("fees", "f8"), ("refund", "f8"), ("episodes", "i8"), ("random", "u8"),
    ]
)  # fmt: skip
EPISODE = np.dtype(
    [
        ("row", "i4"), ("steps", "i8"), ("reward_sum", "f8"), ("fills", "i8"), ("maker_fills", "i8"), ("traded", "f8"),
        ("fees", "f8"), ("refund", "f8"), ("spread_cost", "f8"), ("orders_sent", "i8"), ("orders_filled", "i8"),
        ("refused", "i8"), ("clipped", "i8"), ("max_drawdown", "f8"), ("terminated", "i1"), ("holds", "i8"),
        ("edge", "f8"),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """The arrays of one step."""

    observation: NDArray[np.float32]
    mask: NDArray[np.bool_]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_observation: NDArray[np.float32]
    final_mask: NDArray[np.bool_]
    elapsed: NDArray[np.float32]


@dataclass(frozen=True)
class ToySource:
    """Makes toy rows."""

    length: int = 2000
    features: int = FEATURES

    def make(self, rows: int, seed: int) -> ToyRows:
        return ToyRows(rows, seed, self.length)

    def describe(self) -> Described:
        return Described(
            sessions=[{"id": "toy", "checksum": "0" * 64}],
            env={"length": self.length},
            contract=contract_of("sized21", "obs54"),
            reward="pure",
            fill_model="pessimistic",
        )


class ToyRows:
    """Rows of the toy with the API of the market rows."""

    def __init__(self, rows: int, seed: int, length: int) -> None:
        self.num_envs, self.length, self.share = rows, length, 1.0
        self.single_observation_space = gym.spaces.Box(-10.0, 10.0, (FEATURES,), np.float32)
        self.single_action_space = gym.spaces.Discrete(ACTIONS)
        self.rows = np.zeros(rows, ROW)
        self._seed(seed)
        self._ended = np.zeros(4096, EPISODE)
        self._count = np.zeros(1, np.int64)
        self._batch = self.new_batch()
        self._over = np.zeros(rows, np.bool_)

    def _seed(self, seed: int) -> None:
        self.rows["random"] = np.random.SeedSequence(seed).generate_state(self.num_envs, np.uint64) | np.uint64(1)

    def new_batch(self) -> Batch:
        b = self.num_envs
        return Batch(
            np.zeros((b, FEATURES), np.float32), np.zeros((b, ACTIONS), np.bool_), np.zeros(b, np.float32),
            np.zeros(b, np.bool_), np.zeros(b, np.bool_), np.zeros((b, FEATURES), np.float32),
            np.zeros((b, ACTIONS), np.bool_), np.ones(b, np.float32),
        )  # fmt: skip

    @property
    def playing(self) -> NDArray[np.bool_]:
        return np.ones(self.num_envs, np.bool_)

    def reset_into(self, batch: Batch) -> None:
        _reset_all(self.rows, self.length, batch.observation, batch.mask)

    def step_into(self, actions: NDArray[np.int64], batch: Batch) -> None:
        batch.elapsed[:] = 1.0
        _step_all(
            self.rows, actions, self.length, self.share, batch.observation, batch.mask, batch.reward, batch.terminated,
            batch.truncated, batch.final_observation, batch.final_mask, self._ended, self._count,
        )  # fmt: skip

    def take_episodes(self) -> NDArray[np.void]:
        taken = self._ended[: self._count[0]].copy()
        self._count[0] = 0
        return taken

    def set_progress(self, share: float) -> None:
        pass

    def set_cost_share(self, share: float) -> None:
        self.share = share

    def get_state(self) -> dict[str, Any]:
        return {"rows": self.rows.copy(), "share": self.share}

    def set_state(self, state: dict[str, Any]) -> None:
        self.rows[:], self.share = state["rows"], state["share"]

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._seed(int(seed))
        self.reset_into(self._batch)
        self._over[:] = False
        return self._batch.observation.copy(), {"action_mask": self._batch.mask.copy()}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """NEXT_STEP: the step after an end is the reset. The toy resets at once and shows the end first."""
        shown, over = self._batch, self._over.copy()
        held = self.rows.copy()
        first, legal = shown.observation.copy(), shown.mask.copy()
        self.step_into(np.where(over, 0, actions).astype(np.int64), shown)
        self.rows[over] = held[over]  # a row whose episode had ended only shows its first observation now
        shown.observation[over], shown.mask[over] = first[over], legal[over]
        ended = (shown.terminated | shown.truncated) & ~over
        self._over[:] = ended
        seen, mask = shown.observation.copy(), shown.mask.copy()
        seen[ended], mask[ended] = shown.final_observation[ended], shown.final_mask[ended]
        reward = np.where(over, 0.0, shown.reward)
        return seen, reward, shown.terminated & ~over, shown.truncated & ~over, {"action_mask": mask}

    def close(self) -> None:
        pass


def oracle(rows: NDArray[np.void], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Trade the signal: the largest legal order its way, hold otherwise."""
    actions = np.zeros(len(rows), np.int64)
    for i, row in enumerate(rows):
        if row["left"] == 0:
            continue
        wanted = (16, 1) if row["signal"] > 0 else (6, 11)
        for first in wanted:
            legal = np.flatnonzero(mask[i, first : first + 5])
            if len(legal):
                actions[i] = first + legal[-1]
                break
    return actions


@numba.njit(cache=True)
def _uniform(row):  # type: ignore[no-untyped-def]
    x = row.random
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    row.random = x
    return np.float64((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * 2.0**-53


@numba.njit(cache=True)
def _reset(row, length, stagger):  # type: ignore[no-untyped-def]
    row.price = 0.2 + 0.6 * _uniform(row)
    row.cash = 100.0
    row.position = row.signal = row.edge = row.reward = row.fees = row.refund = 0.0
    row.left = row.fills = row.holds = 0
    row.step = np.int64(_uniform(row) * length) if stagger else 0
    row.began = row.step
    row.equity = 100.0


@numba.njit(cache=True)
def _size(k):  # type: ignore[no-untyped-def]
    return np.float64((5, 10, 20, 50, 100)[k])


@numba.njit(cache=True)
def _observe(row, observation, mask):  # type: ignore[no-untyped-def]
    bid = np.floor((row.price - 0.01) * 100) / 100
    ask = np.ceil((row.price + 0.01) * 100) / 100
    for f in range(observation.shape[0]):
        observation[f] = (_uniform(row) - 0.5) * 1.04
    lean = (_uniform(row) - 0.5) * 0.28
    if row.left > 0:
        lean += 0.6 * row.signal
    head = (bid, ask, 1 - ask, 1 - bid, lean, lean, row.position / 500, row.cash / 100, row.equity / 100,
            row.position / 50)  # fmt: skip
    for f in range(10):
        observation[f] = head[f]
    mask[:] = False
    mask[0] = True
    if bid <= 0.01 or ask >= 0.99:
        return
    p = row.position
    for k in range(5):
        n = _size(k)
        if p >= 0 and p + n <= LIMIT and n * ask + 0.07 * n * ask * (1 - ask) <= row.cash:
            mask[1 + k] = True
        if p > 0 and n <= p:
            mask[6 + k] = True
        if p <= 0 and -p + n <= LIMIT and n * (1 - bid) + 0.07 * n * bid * (1 - bid) <= row.cash:
            mask[11 + k] = True
        if p < 0 and n <= -p:
            mask[16 + k] = True


@numba.njit(cache=True)
def _trade(row, action, share):  # type: ignore[no-untyped-def]
    bid = np.floor((row.price - 0.01) * 100) / 100
    ask = np.ceil((row.price + 0.01) * 100) / 100
    n = _size((action - 1) % 5)
    kind = (action - 1) // 5
    fair = row.price + (row.signal * 0.064 if row.left > 0 else 0.0)
    bought = kind == 0 or kind == 3
    price = ask if bought else bid
    fee = 0.07 * n * price * (1 - price)
    if kind == 0:
        row.cash -= n * ask
    elif kind == 1:
        row.cash += n * bid
    elif kind == 2:
        row.cash -= n * (1 - bid)
    else:
        row.cash += n * (1 - ask)
    row.position += n if bought else -n
    row.edge += (n * (fair - price) if bought else n * (price - fair)) - fee
    back = (1 - share) * (fee + n * (ask - bid) / 2)
    row.cash += back - fee
    row.fees += fee
    row.refund += back
    row.fills += 1


@numba.njit(cache=True)
def _move(row):  # type: ignore[no-untyped-def]
    if row.left > 0:
        row.left -= 1
        if row.left == 0:
            jump = row.signal * 0.08 if _uniform(row) < 0.9 else -row.signal * 0.08
            row.price = min(max(row.price + jump, 0.02), 0.98)
            row.signal = 0.0
        return
    u = _uniform(row)
    if u < 1 / 60 and 0.15 < row.price < 0.85:
        row.signal = 1.0 if _uniform(row) < 0.5 else -1.0
        row.left = 3
    elif u < 0.3 and 0.01 < row.price < 0.99:
        row.price += 0.01 if _uniform(row) < 0.5 else -0.01


@numba.njit(cache=True)
def _reset_all(rows, length, observation, mask):  # type: ignore[no-untyped-def]
    for b in range(rows.shape[0]):
        _reset(rows[b], length, True)
        _observe(rows[b], observation[b], mask[b])


@numba.njit(cache=True)
def _step_all(  # type: ignore[no-untyped-def]
    rows, actions, length, share, observation, mask, reward, terminated, truncated, last, last_mask, ended, count
):
    for b in range(rows.shape[0]):
        row = rows[b]
        if actions[b] > 0:
            _trade(row, actions[b], share)
        else:
            row.holds += 1
        _move(row)
        bid = np.floor((row.price - 0.01) * 100) / 100
        ask = np.ceil((row.price + 0.01) * 100) / 100
        equity = row.cash + (row.position * bid if row.position > 0 else -row.position * (1 - ask))
        reward[b] = np.float32(equity - row.equity)
        row.equity = equity
        row.reward += reward[b]
        row.step += 1
        over = row.step >= length
        terminated[b] = over and row.price > 0.5  # some of each kind
        truncated[b] = over and not terminated[b]
        if over:
            _observe(row, last[b], last_mask[b])
            record = ended[count[0]]
            record.row, record.steps = b, row.step - np.int64(row.began)
            record.reward_sum, record.fees, record.refund = row.reward, row.fees, row.refund
            record.fills, record.holds, record.edge = row.fills, row.holds, row.edge
            record.terminated = terminated[b]
            count[0] += 1
            _reset(row, length, False)
        _observe(row, observation[b], mask[b])
