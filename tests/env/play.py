"""One row on one tape, driven by intents in words, and everything that can be asked of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.actions import Intent, Pricing
from kalshi_ray.core.orders import QUOTE, OrderState
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import CENT, CONTRACT
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.samplers import DONE
from kalshi_ray.env.settings import EnvSettings
from tests.tapes import T0

NO_BUDGET: dict[str, Any] = {"budget_per_s": 1_000.0, "budget_burst": 1_000}


class Episodes:
    """A sampler that hands out the given (view, start) pairs once, to whichever row asks."""

    def __init__(self, *plays: tuple[int, int]) -> None:
        self._plays, self._next = plays, 0

    def set_progress(self, share: float) -> None:
        pass

    def next(self, row: int) -> tuple[int, int]:
        self._next += 1
        return self._plays[self._next - 1] if self._next <= len(self._plays) else (DONE, -1)

    def get_state(self) -> dict[str, Any]:
        return {"next": self._next}

    def set_state(self, state: dict[str, Any]) -> None:
        self._next = state["next"]


class Play:
    """An episode of one row. The command budget is unlimited unless settings limit it."""

    def __init__(self, pack: ViewPack, *, view: int = 0, start: int = -1, seed: int = 0, **settings: Any) -> None:
        self.settings = EnvSettings(**(NO_BUDGET | {"start": "whole"} | settings))
        self.env = MarketVectorEnv(
            pack, self.settings, num_envs=1, seed=seed, sampler=Episodes((view, start)), log_fills=True
        )
        self.batch = self.env.new_batch()
        self.env.reset_into(self.batch)
        self.rewards: list[float] = []
        self._fills: list[np.void] = []
        self.over = ""
        assert self.env.playing[0], "the tape has no decision"

    # -- acting

    def id_of(self, intent: str, contracts: float = 0, pricing: str | None = None) -> int:
        """The action id of an intent, a size and, where the space has several, a pricing."""
        for index, action in enumerate(self.env.actions.table):
            if Intent(int(action["intent"])).name != intent or action["size"] != round(contracts * CONTRACT):
                continue
            if pricing is None or Pricing(int(action["pricing"])).name == pricing:
                return index
        raise AssertionError(f"{self.env.actions.name} has no {intent} {contracts} {pricing}")

    def step(self, action: int) -> None:
        """One step with an action id."""
        self.env.step_into(np.array([action]), self.batch)
        self._after()

    def act(self, intent: str, contracts: float = 0, pricing: str | None = None) -> None:
        """One step with a legal intent."""
        action = self.id_of(intent, contracts, pricing)
        assert self.batch.mask[0, action], f"{intent} {contracts} is masked at {self.now}"
        self.step(action)

    def quote(
        self, bid: tuple[float, float] | None = None, ask: tuple[float, float] | None = None, takes: bool = False
    ) -> None:
        """One step with desired orders: (cents, contracts) of either side."""
        quotes = np.zeros(1, QUOTE)
        for name, wanted in (("bid", bid), ("ask", ask)):
            if wanted is not None:
                quotes[f"{name}_price"], quotes[f"{name}_size"] = round(wanted[0] * CENT), round(wanted[1] * CONTRACT)
                quotes[f"{name}_takes"] = takes
        self.env.step_quotes_into(quotes, self.batch)
        self._after()

    def until(self, seconds: float) -> None:
        """Hold until the decision at or after that time."""
        while not self.over and self.now < seconds - 1e-9:
            self.step(0)

    def finish(self) -> None:
        """Hold to the end."""
        while not self.over:
            self.step(0)

    def _after(self) -> None:
        self.rewards.append(float(self.batch.reward[0]))
        self._fills += list(self.env.take_fills())
        if self.batch.terminated[0] or self.batch.truncated[0]:
            self.over = "settled" if self.batch.terminated[0] else "tape ended"
            self.episode = self.env.take_episodes()[0]

    # -- asking

    @property
    def trader(self) -> Any:
        return self.env.rows[0]

    @property
    def venue(self) -> Any:
        return self.env._venues[0]

    @property
    def now(self) -> float:
        """Seconds since the tape's zero."""
        return (int(self.trader["now_ns"]) - T0) / 1e9

    @property
    def position(self) -> float:
        """Contracts."""
        return int(self.trader["account"]["position"]) / CONTRACT

    @property
    def cash(self) -> int:
        """Micros."""
        return int(self.trader["account"]["cash"])

    @property
    def fills(self) -> list[tuple[float, str, float, float, bool]]:
        """(exchange time, side, cents, contracts, maker) of every fill heard."""
        return [
            (
                (int(fill["venue_ns"]) - T0) / 1e9,
                "bought" if fill["side"] > 0 else "sold",
                int(fill["price"]) / CENT,
                int(fill["size"]) / CONTRACT,
                bool(fill["maker"]),
            )
            for fill in self._fills
        ]

    @property
    def raw_fills(self) -> list[np.void]:
        return self._fills

    def feature(self, name: str) -> float:
        """One feature of the standing observation."""
        return float(self.batch.observation[0][self.env.layout.names.index(name)])

    def legal(self, intent: str, contracts: float = 0, pricing: str | None = None) -> bool:
        return bool(self.batch.mask[0, self.id_of(intent, contracts, pricing)])

    @property
    def mask(self) -> NDArray[np.bool_]:
        return self.batch.mask[0]

    def order(self, slot: int) -> Any:
        """One of the trader's orders: 0 resting bid, 1 resting ask, 2 and 3 immediate."""
        return self.trader["orders"][slot]

    def working(self, slot: int) -> bool:
        return int(self.order(slot)["state"]) == OrderState.WORKING

    def shown(self, side: int, cents: float) -> float:
        """Contracts that the trader sees at a price."""
        seen = self.trader["book"]
        tick = list(seen["prices"][: seen["levels"]]).index(round(cents * CENT))
        return (int(seen["recorded"][side][tick]) - int(seen["consumed"][side][tick])) / CONTRACT
