"""Where a runner gets its rows from: a recipe that travels to every worker, and the one shape RLlib sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import msgspec
import numpy as np
import ray
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.joined import first_views
from kalshi_ray.data.view_store import get_pack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.samplers import SamplerName, ViewSampler
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo
from kalshi_ray.policy.network import ACTION_MASK, OBSERVATION, masked_space
from kalshi_ray.registry import Contract, contract_of


class RowsEnv(Protocol):
    """What runners rely on: `MarketVectorEnv`, or a stand-in in tests."""

    num_envs: int
    single_observation_space: Any  # Box
    single_action_space: Any  # Discrete

    @property
    def playing(self) -> NDArray[np.bool_]:
        """[B] rows that have an episode; all of them, unless the sampler has run out."""

    def new_batch(self) -> Any:
        """Arrays for one step: a dataclass of `observation`, `mask`, `reward`, `terminated`, `truncated`,
        `final_observation`, `final_mask` and `elapsed`."""

    def reset_into(self, batch: Any) -> None:
        """Start every row and write its first observation and mask."""

    def step_into(self, actions: NDArray[np.int64], batch: Any) -> None:
        """Advance every row by one decision; ended rows are reset in the same step."""

    def take_episodes(self) -> NDArray[np.void]:
        """Records of the episodes that ended since the last call."""

    def set_cost_share(self, share: float) -> None:
        """Charge this share of spread and fees from the next step on; the rest is refunded."""

    def set_progress(self, share: float) -> None:
        """How much of the run is done, 0 to 1: curricula go by it."""

    def get_state(self) -> dict[str, Any]:
        """Everything needed to go on from here."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Gymnasium's reset."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Gymnasium's step with NEXT_STEP autoreset."""

    def close(self) -> None:
        """Let go of everything."""


class EnvSource(Protocol):
    """Makes the rows of one runner. Picklable, small: arrays travel by reference."""

    def make(self, rows: int, seed: int) -> RowsEnv:
        """`rows` fresh rows whose draws depend on `seed` alone."""

    def describe(self) -> Described:
        """What a bundle records of it."""


@dataclass(frozen=True)
class Described:
    """What a policy was trained on and what it needs: written into the run's folder and the bundle."""

    sessions: list[dict[str, Any]]  # id, checksum, and which markets of it
    env: dict[str, Any]  # environment settings in force
    contract: Contract
    reward: str
    fill_model: str


@dataclass(frozen=True)
class Recorded:
    """One session in a pack: which of its views it brought, and what a bundle records of it."""

    id: str
    checksum: str
    depth: str
    sizes: str
    first: int  # of its views in the pack
    views: int

    @classmethod
    def of(cls, packs: Sequence[ViewPack]) -> tuple[Recorded, ...]:
        """The sessions of packs that are joined in this order."""
        firsts = first_views(packs).tolist()
        return tuple(
            cls(pack.session, pack.checksum, pack.depth, pack.sizes, first, len(pack.views))
            for pack, first in zip(packs, firsts, strict=True)
        )


@dataclass(frozen=True)
class MarketSource:
    """Rows over the chosen views of one pack. The pack may be a reference into the object store: put once."""

    pack: ViewPack | ray.ObjectRef[ViewPack]
    settings: EnvSettings
    views: tuple[int, ...]  # of the pack; those to train on
    sampler: SamplerName = "random"
    ratings: tuple[float, ...] | None = None  # of each of `views`, for samplers that go by one (`train.curricula`)
    sessions: tuple[Recorded, ...] = ()  # that the pack is joined from; none: it is one session

    def __deepcopy__(self, _: Any) -> MarketSource:
        """Itself: it never changes, and RLlib copies its configuration at every iteration."""
        return self

    def make(self, rows: int, seed: int) -> MarketVectorEnv:
        """`rows` fresh rows whose draws depend on `seed` alone."""
        pack = self._views_of()
        chosen = np.array(self.views, np.int32)
        if not len(chosen) or chosen.min() < 0 or chosen.max() >= len(pack.views):
            raise NothingToDo(
                f"{len(chosen)} markets to train on, of {len(pack.views)} in session {pack.session}",
                remedy="`kalshi-ray sessions analyze` shows why each market was left out",
            )
        sampler = ViewSampler(
            pack,
            chosen,
            order=self.sampler,
            seed=seed,
            anywhere=self.settings.start == "random",
            ratings=None if self.ratings is None else np.array(self.ratings),
        )
        return MarketVectorEnv(pack, self.settings, num_envs=rows, seed=seed, sampler=sampler)

    def describe(self) -> Described:
        """What a bundle records of it."""
        pack = self._views_of()
        return Described(
            sessions=[self._described(pack, one) for one in self.sessions or Recorded.of([pack])],
            env=msgspec.to_builtins(self.settings),
            contract=contract_of(self.settings.action_space, self.settings.observation),
            reward=self.settings.reward,
            fill_model=self.settings.fill_model,
        )

    def _described(self, pack: ViewPack, session: Recorded) -> dict[str, Any]:
        own = [view for view in self.views if session.first <= view < session.first + session.views]
        return {
            "id": session.id,
            "checksum": session.checksum,
            "markets": len(own),
            "depth": session.depth,
            "sizes": session.sizes,
            "tickers": [pack.tickers[view] for view in own],
        }

    def _views_of(self) -> ViewPack:
        return self.pack if isinstance(self.pack, ViewPack) else get_pack(self.pack)


@dataclass(frozen=True)
class Spaces:
    """The spaces that RLlib sees: observation and mask in one Dict, and the action ids."""

    observation: gym.spaces.Dict
    action: Any  # Discrete

    @classmethod
    def of(cls, env: RowsEnv) -> Spaces:
        """The spaces of `env` with the mask beside the observation."""
        actions = env.single_action_space
        return cls(masked_space(env.single_observation_space, int(actions.n)), actions)


class MaskedVectorEnv(VectorEnv[Any, Any, Any]):
    """Rows as RLlib's stock runner wants them: the mask stands beside the observation instead of in `info`."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  # gymnasium's own shape

    def __init__(self, rows: RowsEnv) -> None:
        self.rows = rows
        spaces = Spaces.of(rows)
        self.num_envs = rows.num_envs
        self.single_observation_space, self.single_action_space = spaces.observation, spaces.action
        self.observation_space = gym.vector.utils.batch_space(spaces.observation, rows.num_envs)
        self.action_space = gym.vector.utils.batch_space(spaces.action, rows.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """First observations and masks of all rows."""
        observation, found = self.rows.reset(seed=seed, options=options)
        return self._joined(observation, found), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One decision of every row, NEXT_STEP autoreset."""
        observation, reward, terminated, truncated, found = self.rows.step(np.asarray(actions))
        return self._joined(observation, found), reward, terminated, truncated, {}

    def close_extras(self, **_: Any) -> None:
        """Let go of the rows."""
        self.rows.close()

    @staticmethod
    def _joined(observation: Any, found: dict[str, Any]) -> dict[str, Any]:
        return {OBSERVATION: np.array(observation), ACTION_MASK: np.array(found["action_mask"], np.int8)}
