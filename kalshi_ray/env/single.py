"""`MarketEnv`: one bankroll in one market, plain Gymnasium, on the kernel that the env runners use."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.actions import ActionSpec
from kalshi_ray.core.features import ObservationSpec
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv, check_playable
from kalshi_ray.env.samplers import DONE, Chosen, Sampler
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo, UnknownName, UsageError


class MarketEnv(gym.Env[NDArray[np.float32], np.int64]):
    """One row: Box observation, Discrete actions, for any library that speaks Gymnasium.

    The legal actions travel in `info["action_mask"]` and `action_masks()`. A masked action sends nothing and is counted
    in `info["refused"]`; `info["elapsed"]` is the seconds that a step covered. `settings.start` and the seed choose
    the episodes, `reset(options={"view": 3})` plays one by index or ticker, `{"view": …, "start": 500}` from its update
    500 on.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # gymnasium's own shape

    def __init__(
        self,
        pack: ViewPack,
        settings: EnvSettings | None = None,
        *,
        seed: int = 0,
        views: NDArray[np.int32] | None = None,
        sampler: Sampler | None = None,
        log_fills: bool = False,
    ) -> None:
        check_playable(pack)
        self._chosen = Chosen()
        self._row = MarketVectorEnv(
            pack, settings, num_envs=1, seed=seed, views=views, sampler=self._chosen, log_fills=log_fills
        )
        self._given_sampler = sampler is not None
        self._sampler = sampler or self._row.default_sampler(seed)
        self.pack, self.settings = pack, self._row.settings
        self.observation_space = self._row.single_observation_space
        self.action_space = self._row.single_action_space
        self._count = self._row.actions.size
        self._action = np.zeros(1, np.int64)
        self._batch = self._row.new_batch()
        self._step_row = self._row.bind_step(self._action, self._batch)
        self._observation, self._mask = self._batch.observation[0], self._batch.mask[0]
        self._refused = self._row.rows["refused"]
        self._log_fills, self._playing = log_fills, False

    @classmethod
    def from_session(
        cls,
        store_url: str,
        session_id: str,
        settings: EnvSettings | None = None,
        *,
        tickers: Sequence[str] | None = None,
        **options: Any,
    ) -> MarketEnv:
        """The environment of a session in a store, of all its markets or of `tickers`."""
        from kalshi_ray.data.store import open_store
        from kalshi_ray.data.views import build_pack

        return cls(build_pack(open_store(store_url).open(session_id), tickers=tickers), settings, **options)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start the next episode, or the one that `options` name. A seed restarts the order and the latency draws."""
        super().reset(seed=seed)
        if seed is not None:
            self._row.seed_rows(seed)
            if not self._given_sampler:
                self._sampler = self._row.default_sampler(seed)
        self._chosen.episode = view, start = self._choose(options or {})
        if view == DONE:
            raise NothingToDo(
                "the sampler has no episode left", remedy="Reset with a seed, or make the environment anew"
            )
        self._row.reset_into(self._batch)
        self._check_started(view, start, options or {})
        self._playing = True
        info = {"action_mask": self._mask.copy(), "refused": 0, "elapsed": 0.0, "ticker": self.pack.tickers[view]}
        return self._observation.copy(), info

    def _choose(self, options: dict[str, Any]) -> tuple[int, int]:
        unknown = sorted(set(options) - {"view", "start"})
        if unknown:
            raise UnknownName("reset option", unknown[0], ["view", "start"])
        wanted, start = options.get("view"), options.get("start")
        if wanted is None:
            if start is not None:
                raise UsageError("reset option `start` counts the updates of a view", remedy="Give `view` as well")
            return self._sampler.next(0)
        tickers = self.pack.tickers
        view = tickers.index(wanted) if isinstance(wanted, str) and wanted in tickers else wanted
        if isinstance(view, str) or not 0 <= index(view) < len(tickers):
            raise UnknownName("view", wanted, [*tickers])
        first, stop = (int(self.pack.views[name][view]) for name in ("start", "stop"))
        if start is not None and not 0 <= index(start) < stop - first:
            raise UsageError(f"start {start} is not an update of {tickers[view]}, which has {stop - first:,} from 0 on")
        return index(view), -1 if start is None else first + index(start)

    def _check_started(self, view: int, start: int, options: dict[str, Any]) -> None:
        """An episode without a decision has no first observation; where a start was asked for, it must be that one."""
        asked = options.get("start") is not None
        if not self._row.playing[0] or (
            asked and self._row.rows["started_ns"][0] != self.pack.updates["recv_ns"][start]
        ):
            place = f" from update {options['start']} on" if asked else ""
            raise NothingToDo(
                f"{self.pack.tickers[view]} has no decision point{place}: book unknown or crossed, or market closed",
                remedy="Choose another view or an earlier start",
            )

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Act and run to the next decision. UsageError for an id that the action space does not have."""
        try:
            chosen = index(action)
        except TypeError:
            chosen = -1
        if not 0 <= chosen < self._count:
            raise UsageError(
                f"action {action} is not in {self.settings.action_space}, which has ids 0 to {self._count - 1}"
            )
        if not self._playing:
            raise UsageError("no episode is being played", remedy="Call reset first")
        batch = self._batch
        self._action[0] = chosen
        self._step_row()
        terminated, truncated = bool(batch.terminated[0]), bool(batch.truncated[0])
        if terminated or truncated:
            self._playing = False
            observation, mask = batch.final_observation[0].copy(), batch.final_mask[0].copy()
        else:
            observation, mask = self._observation.copy(), self._mask.copy()
        if self._log_fills or not self._playing:
            self._row.keep_logs()
        info = {"action_mask": mask, "refused": int(self._refused[0]), "elapsed": float(batch.elapsed[0])}
        return observation, float(batch.reward[0]), terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """[A] legal actions now."""
        return np.array(self._mask if self._playing else self._batch.final_mask[0])

    @property
    def row(self) -> Any:
        """What the row knows: a TRADER record (`core.trader`). Read it, do not write it."""
        return self._row.rows[0]

    @property
    def actions(self) -> ActionSpec:
        """The action space."""
        return self._row.actions

    @property
    def layout(self) -> ObservationSpec:
        """The observation layout."""
        return self._row.layout

    def take_fills(self) -> NDArray[np.void]:
        """FILL records since the last call; needs `log_fills`."""
        return self._row.take_fills()

    def take_episodes(self) -> NDArray[np.void]:
        """EPISODE records finished since the last call."""
        return self._row.take_episodes()

    def get_state(self) -> dict[str, Any]:
        """Everything needed to go on exactly here."""
        standing = {name: getattr(self._batch, name).tobytes() for name in ("observation", "mask", "final_mask")}
        return {
            "row": self._row.get_state(),
            "sampler": self._sampler.get_state(),
            "standing": standing,
            "playing": self._playing,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called, on the same views with the same settings."""
        self._row.set_state(state["row"])
        self._sampler.set_state(state["sampler"])
        for name, stored in state["standing"].items():
            array = getattr(self._batch, name)
            array[...] = np.frombuffer(stored, array.dtype).reshape(array.shape)
        self._playing = state["playing"]
