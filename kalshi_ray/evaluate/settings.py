"""Settings of an evaluation. What the environment does is set by EnvSettings; what is judged and how, here."""

from __future__ import annotations

from typing import Literal

import msgspec

from kalshi_ray.errors import ConfigError

FillModels = Literal["auto", "pessimistic", "fitted", "optimistic", "band"]

BAND = ("pessimistic", "fitted", "optimistic")

EVERY_BASELINE = ("hold", "random", "join-best", "inventory-aware", "momentum", "mean-reversion", "longshot-fade")


class EvaluationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How policies are judged. The defaults are those of the gates."""

    seed: int = 0  # of policies, latency draws and the bootstrap
    part: Literal["train", "validation", "test", "all"] = "test"  # of the split; all: the whole session, undivided
    select: Literal["causal", "none"] = "causal"  # by the first minutes of each market, or every market from its start
    max_markets: int = 0  # market-episodes judged: the first so many of an order drawn by `seed`; 0: all
    market_counts: tuple[int, ...] = (300, 500, 1000)  # subsets of the markets that the report gives beside all of them
    allow_overlap: bool = False  # judge a bundle on events that it was trained on; its gates stay closed
    stress: bool = False  # judge again with other cash, limit, fees and latency, one at a time
    gate: Literal["production", "viable", "none"] = "production"  # exit code 3 unless judged policies pass it
    baselines: tuple[str, ...] = EVERY_BASELINE  # played on the same markets; gates ask to beat each of them
    oracle: bool = True  # beside them where the session has one (regime planted)
    fill_models: FillModels = "auto"  # auto: the whole band for policies whose orders rest, else pessimistic alone
    match_random: bool = True  # the random baseline trades like the first judged policy, but for its reasons
    controls: bool = True  # beside each judged policy that acts: other market's observations, sign flipped
    shard_markets: int = 256  # markets that one environment judges: never depends on the number of workers
    rows: int = 64  # of them at a time
    workers: int = 1  # 1: in this process; more: so many Ray tasks at a time, which share the views
    level: float = 0.95  # of intervals
    resamples: int = 4000  # of the bootstrap by event
    markouts_s: tuple[float, ...] = (1.0, 10.0, 60.0, 300.0)
    curve_points: int = 2000  # times at which the account is looked at: drawdown is measured between them

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("shard_markets", "rows", "workers", "resamples", "curve_points"):
            if getattr(self, name) < 1:
                raise ConfigError(f"evaluation.{name} is {getattr(self, name)}, expected at least 1")
        if self.max_markets < 0:
            raise ConfigError(
                f"evaluation.max_markets is {self.max_markets}, expected 0 for all or a number of markets"
            )
        if not 0.5 < self.level < 1.0:
            raise ConfigError(f"evaluation.level is {self.level}, expected more than 0.5 and less than 1")
        if any(seconds <= 0 for seconds in self.markouts_s):
            raise ConfigError(f"evaluation.markouts_s holds {self.markouts_s}, expected positive seconds")

    def models_for(self, *, rests: bool, default: str) -> tuple[str, ...]:
        """The fill models to run a policy under; `rests` says whether its orders can wait in a queue.

        Orders that never rest fill alike under all models, so one of them stands for the band.
        """
        if self.fill_models == "auto":
            return BAND if rests else (default,)
        if self.fill_models == "band":
            return BAND
        return (self.fill_models,)
