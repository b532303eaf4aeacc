"""`MarketVectorEnv`: B rows over one kernel, for env runners and as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from kalshi_ray.core.actions import ActionSpec
from kalshi_ray.core.book import book_size
from kalshi_ray.core.features import FACTS, ObservationSpec
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.orders import QUOTE, OrderEvent, OrderState
from kalshi_ray.core.rules import PPM
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.trader import trader_dtype
from kalshi_ray.core.venue import venue_dtype
from kalshi_ray.env.kernel import BY_ACTION, BY_QUOTE, LEAVE, START, play_rows
from kalshi_ray.env.records import EPISODE, FILL, PROGRESS, joined
from kalshi_ray.env.samplers import DONE, Listener, Sampler, ViewSampler
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import DataError, NothingToDo, UsageError

FILLS_PER_STEP = 256  # more than one row can hear between two decisions


@dataclass(frozen=True)
class Batch:
    """What one step gives, in arrays that the caller owns: B rows, F features, A actions."""

    observation: NDArray[np.float32]  # [B, F] after the step; of the following episode where one ended
    mask: NDArray[np.bool_]  # [B, A] legal actions for `observation`
    reward: NDArray[np.float32]  # [B]
    terminated: NDArray[np.bool_]  # [B] settled by the venue
    truncated: NDArray[np.bool_]  # [B] tape or episode length ended
    final_observation: NDArray[np.float32]  # [B, F] last of the ended episode, where one ended
    final_mask: NDArray[np.bool_]  # [B, A]
    elapsed: NDArray[np.float32]  # [B] seconds that the step covered

    @classmethod
    def empty(cls, rows: int, features: int, actions: int) -> Batch:
        """Arrays of zeros for `rows` rows."""
        return cls(
            observation=np.zeros((rows, features), np.float32),
            mask=np.zeros((rows, actions), np.bool_),
            reward=np.zeros(rows, np.float32),
            terminated=np.zeros(rows, np.bool_),
            truncated=np.zeros(rows, np.bool_),
            final_observation=np.zeros((rows, features), np.float32),
            final_mask=np.zeros((rows, actions), np.bool_),
            elapsed=np.zeros(rows, np.float32),
        )


class MarketVectorEnv(gym.vector.VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """B bankrolls, each in one market at a time.

    As a Gymnasium vector environment it follows NEXT_STEP autoreset and carries the mask in `info["action_mask"]`.
    Env runners use `reset_into` and `step_into`, which reset in the same step, keep the last observation of an ended
    episode and write into a `Batch` that the caller owns.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # gymnasium's own shape
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "render_modes": [],
    }

    def __init__(
        self,
        pack: ViewPack,
        settings: EnvSettings | None = None,
        *,
        num_envs: int,
        seed: int = 0,
        views: NDArray[np.int32] | None = None,
        sampler: Sampler | None = None,
        log_fills: bool = False,
    ) -> None:
        if num_envs < 1:
            raise UsageError(f"an environment needs at least one row, got {num_envs}")
        self.settings = settings or EnvSettings()
        self.pack, self.num_envs = pack, num_envs
        self._actions, self._layout = self.settings.actions, self.settings.layout
        chosen = np.arange(len(pack.views), dtype=np.int32) if views is None else np.asarray(views, np.int32)
        self._chosen, self._given_sampler = chosen, sampler is not None
        self._sampler = sampler or self.default_sampler(seed)
        self.single_observation_space = gym.spaces.Box(self._layout.low, self._layout.high, dtype=np.float32)
        self.single_action_space = gym.spaces.Discrete(self._actions.size)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._make_state(seed, log_fills)
        self._batch = self.new_batch()
        self._reset_due = np.zeros(num_envs, np.bool_)

    def default_sampler(self, seed: int) -> Sampler:
        """The sampler that the settings ask for, from its beginning."""
        order = "random" if self.settings.start == "random" else "cycle"
        return ViewSampler(self.pack, self._chosen, order=order, seed=seed, anywhere=self.settings.start == "random")

    def _make_state(self, seed: int, log_fills: bool) -> None:
        pack, rows, size = self.pack, self.num_envs, book_size(self.pack.max_levels)
        self._traders = as_rows(np.zeros(rows, trader_dtype(size)))
        self._venues = as_rows(np.zeros(rows, venue_dtype(size)))
        self._progress = as_rows(np.zeros(rows, PROGRESS))
        self.seed_rows(seed)
        self._rules, self._reward_rules = as_rows(self.settings.rules()), as_rows(self.settings.reward_rules())
        tape = (pack.updates, pack.values, pack.axes, pack.grids, pack.views, pack.keyframes, pack.levels)
        self._tape = tuple(as_rows(array) for array in (*tape, pack.siblings, pack.sibling_start))
        facts, layout = np.zeros(1, FACTS), self._layout
        self._layout_arrays = (
            as_rows(facts), facts.view(np.float32), layout.index, layout.low, layout.high, as_rows(self._actions.table)
        )  # fmt: skip
        self._fills = as_rows(np.zeros(rows * FILLS_PER_STEP if log_fills else 0, FILL))
        self._episodes = as_rows(np.zeros(rows, EPISODE))
        self._fill_count, self._episode_count = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._log = (self._fills, self._fill_count, self._episodes, self._episode_count)
        self._kept_fills: list[NDArray[np.void]] = []
        self._kept_episodes: list[NDArray[np.void]] = []
        self._no_quotes = as_rows(np.zeros(rows, QUOTE))
        self._no_actions = np.zeros(rows, np.int64)
        self._verbs = {verb: np.full(rows, verb, np.uint8) for verb in (START, BY_ACTION, BY_QUOTE)}

    def seed_rows(self, seed: int) -> None:
        """Restart the latency draws of every row."""
        self._progress["episodes"] = 0
        self._progress["seed"] = np.random.SeedSequence(seed).generate_state(self.num_envs, np.uint64)

    @property
    def rows(self) -> NDArray[np.void]:
        """What each row knows: [B] TRADER records (`core.trader`). Read it, do not write it."""
        return self._traders

    @property
    def venues(self) -> NDArray[np.void]:
        """What the exchange knows of each row: [B] VENUE records (`core.venue`), for traces and tests. Read only."""
        return self._venues

    @property
    def playing(self) -> NDArray[np.bool_]:
        """[B] rows that have an episode; all of them, unless the sampler has run out."""
        return np.asarray(self._progress["idle"] == 0)

    @property
    def actions(self) -> ActionSpec:
        """The action space."""
        return self._actions

    @property
    def layout(self) -> ObservationSpec:
        """The observation layout."""
        return self._layout

    def new_batch(self) -> Batch:
        """Arrays of the right shapes for `reset_into` and `step_into`."""
        return Batch.empty(self.num_envs, self._layout.size, self._actions.size)

    def set_cost_share(self, share: float) -> None:
        """Charge this share of spread and fee and refund the rest in the ledger. Training only; 1: no refund."""
        if not 0 <= share <= 1:
            raise UsageError(f"the cost share lies between 0 and 1, got {share}")
        self._rules["cost_share_ppm"] = round(share * PPM)

    def set_progress(self, share: float) -> None:
        """Tell the sampler how much of the run is done, 0 to 1."""
        self._sampler.set_progress(share)

    def reset_into(self, batch: Batch) -> None:
        """Start an episode in every row and write its first observation and mask."""
        for row in range(self.num_envs):
            self._choose_next(row)
        self._play(self._verbs[START], self._no_actions, self._no_quotes, batch)
        self._refill()

    def step_into(self, actions: NDArray[np.int64], batch: Batch) -> None:
        """Step every row with its action id; ended rows start anew in the same step."""
        self._check_actions(actions)
        self._play(self._verbs[BY_ACTION], actions, self._no_quotes, batch)

    def step_quotes_into(self, quotes: NDArray[np.void], batch: Batch) -> None:
        """Step every row with its desired orders, [B] QUOTE records, through the same risk, matching and fees."""
        if quotes.dtype != QUOTE or quotes.shape != (self.num_envs,):
            raise UsageError(f"quotes must be {self.num_envs} QUOTE records, got {quotes.dtype} {quotes.shape}")
        self._play(self._verbs[BY_QUOTE], self._no_actions, as_rows(quotes), batch)

    def _check_actions(self, actions: NDArray[np.int64]) -> None:
        if actions.shape != (self.num_envs,) or actions.dtype != np.int64:
            raise UsageError(f"actions must be int64 of shape ({self.num_envs},), got {actions.dtype} {actions.shape}")
        if actions.view(np.uint64).max() >= self._actions.size:  # seen unsigned, a negative id is a large one
            raise UsageError(
                f"action {int(actions.max() if actions.min() >= 0 else actions.min())} is not in "
                f"{self._actions.name}, which has ids 0 to {self._actions.size - 1}"
            )

    def _play(self, verbs: NDArray[np.uint8], actions: Any, quotes: Any, batch: Batch) -> None:
        play_rows(*self._arguments(verbs, actions, quotes, batch))
        if self._fill_count[0] or self._episode_count[0]:
            self.keep_logs()

    def _arguments(self, verbs: NDArray[np.uint8], actions: Any, quotes: Any, batch: Batch) -> tuple[Any, ...]:
        out = (
            batch.observation, batch.mask, batch.reward, batch.terminated, batch.truncated,
            batch.final_observation, batch.final_mask, batch.elapsed,
        )  # fmt: skip
        return (
            self._traders, self._venues, self._progress, self._rules, self._reward_rules, self._tape,
            self._layout_arrays, self._log, (verbs, actions, quotes), out,
        )  # fmt: skip

    def bind_step(self, actions: NDArray[np.int64], batch: Batch) -> Callable[[], None]:
        """A step whose arrays are bound once: it plays the ids that stand in `actions` [B] and checks nothing.

        The caller puts in known ids only, and calls `keep_logs` after a step that ended an episode or logged fills.
        """
        return partial(play_rows, *self._arguments(self._verbs[BY_ACTION], actions, self._no_quotes, batch))

    def keep_logs(self) -> None:
        """Move what the kernel logged to where `take_fills` and `take_episodes` find it; choose the next episodes."""
        fills, episodes = int(self._fill_count[0]), int(self._episode_count[0])
        if fills:
            self._kept_fills.append(np.array(self._fills[:fills]))
        if episodes:
            ended = np.array(self._episodes[:episodes])
            require_no_fault(ended)
            self._kept_episodes.append(ended)
            if isinstance(self._sampler, Listener):
                for view, steps in zip(ended["view_index"].tolist(), ended["steps"].tolist(), strict=True):
                    self._sampler.ended(view, steps)
        self._fill_count[0] = self._episode_count[0] = 0
        self._refill()

    def _refill(self) -> None:
        progress = self._progress
        for row in np.flatnonzero(progress["needs_next"]):
            view = int(progress["next_view"][row])
            if view >= 0 and progress["idle"][row]:
                raise NothingToDo(
                    f"{self.pack.tickers[view]} has no decision point: no known book stands for long enough",
                    remedy="Leave the market out, or lower env.burst_ms",
                )
            self._choose_next(int(row))

    def _choose_next(self, row: int) -> None:
        view, start = self._sampler.next(row)
        progress = self._progress
        progress["needs_next"][row] = 0
        if view == DONE:
            view, start = -1, -1
        progress["next_view"][row], progress["next_start"][row] = view, start

    def take_fills(self) -> NDArray[np.void]:
        """FILL records since the last call, in the order in which they were heard; needs `log_fills`."""
        taken = joined(self._kept_fills, FILL)
        self._kept_fills.clear()
        return taken

    def take_episodes(self) -> NDArray[np.void]:
        """EPISODE records finished since the last call."""
        taken = joined(self._kept_episodes, EPISODE)
        self._kept_episodes.clear()
        return taken

    # -- Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start every row; a seed also restarts the built-in sampler and the latency draws."""
        if seed is not None:
            self.seed_rows(seed)
            if not self._given_sampler:
                self._sampler = self.default_sampler(seed)
        self._reset_due[:] = False
        self.reset_into(self._batch)
        return self._batch.observation.copy(), {"action_mask": self._batch.mask.copy()}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """NEXT_STEP autoreset: the step after an end ignores its action and gives the first observation."""
        actions = np.asarray(actions, np.int64)
        self._check_actions(actions)
        batch, fresh = self._batch, self._reset_due.copy()
        self._play(np.where(fresh, LEAVE, BY_ACTION).astype(np.uint8), actions, self._no_quotes, batch)
        batch.reward[fresh], batch.terminated[fresh], batch.truncated[fresh] = 0.0, False, False
        batch.elapsed[fresh] = 0.0
        ended = batch.terminated | batch.truncated
        observation, mask = batch.observation.copy(), batch.mask.copy()
        observation[ended], mask[ended] = batch.final_observation[ended], batch.final_mask[ended]
        self._reset_due[:] = ended
        info = {"action_mask": mask, "refused": self._traders["refused"].copy(), "elapsed": batch.elapsed.copy()}
        return observation, batch.reward.astype(np.float64), batch.terminated.copy(), batch.truncated.copy(), info

    def action_masks(self) -> NDArray[np.bool_]:
        """[B, A] legal actions now."""
        return self._batch.mask.copy()

    # -- state

    def get_state(self) -> dict[str, Any]:
        """Rows, books, cursors and generators: `set_state` goes on exactly here. Take fills and episodes before."""
        return {name: array.tobytes() for name, array in self._kept().items()} | {"sampler": self._sampler.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called, on the same views with the same settings."""
        for name, array in self._kept().items():
            stored = state[name]
            if len(stored) != array.nbytes:
                raise UsageError(f"the state holds {len(stored)} bytes, expected {array.nbytes}: other settings?")
            array[...] = np.frombuffer(stored, array.dtype).reshape(array.shape)
        self._sampler.set_state(state["sampler"])

    def _kept(self) -> dict[str, NDArray[Any]]:
        """The arrays that make up a state; the last two are what the Gymnasium form has shown."""
        return {
            "traders": self._traders,
            "venues": self._venues,
            "progress": self._progress,
            "rules": self._rules,
            "reset_due": self._reset_due,
            "observation": self._batch.observation,
            "mask": self._batch.mask,
        }


def require_no_fault(episodes: NDArray[np.void]) -> None:
    """Refuse episodes in which an order got an answer that its state does not know: a fault of the program."""
    for episode in episodes[episodes["fault"] != 0]:
        state, event = divmod(int(episode["fault"]) - 1, 16)
        raise DataError(
            f"an order that was {OrderState(state).name} was answered {OrderEvent(event).name}, in view "
            f"{int(episode['view_index'])}",
            remedy="This is a fault of the program: report it with the session and the settings",
        )


def check_playable(pack: ViewPack) -> None:
    """Refuse a pack in which nothing can be played."""
    if not len(pack.views):
        raise NothingToDo(f"session {pack.session} has no market", remedy="See `kalshi-ray sessions list`")
