"""What a synthetic session is made from."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from kalshi_ray.core.units import CENT
from kalshi_ray.data.synthetic.calibration import REGIMES, Regime
from kalshi_ray.errors import ConfigError

RegimeName = Literal["null", "planted", "planted-maker", "calibrated"]
GridName = Literal["cent", "deci", "tapered", "finest", "mixed"]


class SynthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One synthetic session: the same settings give the same rows, byte for byte."""

    # Which rules: no fill can profit (null), signals (planted), uninformed takers (planted-maker), or a market like the
    # recorded ones (calibrated).
    regime: RegimeName = "calibrated"
    # Markets in all.
    markets: int = 96
    # Markets of one event; 0: the regime's own (1; calibrated 6, and some mirror pairs).
    strikes: int = 0
    # Life of a market, h; 0: the regime's own (0.5; calibrated 2).
    hours: float = 0.0
    # Events live one after another in so many waves, so that they can be split by time.
    waves: int = 4
    # About so many updates in all, instead of `hours`; 0: as `hours` gives.
    updates: int = 0
    # Seed of everything that is drawn.
    seed: int = 0
    # When the first markets open, ns; by default 2026-01-05 15:00 UTC.
    start_ns: int = 1_767_625_200_000_000_000
    # Delay from the exchange to us, ms.
    feed_ms: float = 50.0
    # Mean of an even extra delay, ms; the order of arrival stays that of the exchange.
    jitter_ms: float = 2.0
    # Price grid; mixed: cent, deci and tapered, by event.
    grid: GridName = "cent"
    # Width w of every market's quotes, ticks; 0: drawn as the regime says.
    width_ticks: float = 0.0
    # Odds that a signal points the right way (planted).
    theta: float = 0.9
    # How far p jumps after a signal, cents (planted).
    jump_cents: int = 8
    # Mean time between signals, s (planted).
    signal_mean_s: float = 60.0
    # Time from a signal to its jump, s (planted).
    signal_length_s: float = 3.0
    # Factor of the resting size on the side of a signal (planted).
    signal_factor: int = 4
    # Position limit of the oracle that measures the session, contracts (planted).
    position_limit: int = 50
    # Share of uninformed taker orders; unset: takers lose 1.1 % of stake.
    uninformed: float | None = None
    # Gaps of the recording per hour, on average.
    gaps_per_hour: float = 0.0
    # Length of a gap, s.
    gap_s: float = 2.0
    # Share of events that are paused once.
    paused_share: float = 0.0
    # Length of a pause, s.
    pause_s: float = 60.0
    # Share of events whose scheduled close is moved once.
    rescheduled_share: float = 0.0
    # End markets by the venue's result.
    settle: bool = True

    def __post_init__(self) -> None:
        """ConfigError on a value out of range or on settings that contradict each other."""
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} = {value}, expected {low} to {high}")
        if self.updates and self.hours:
            raise ConfigError("updates and hours are both given", remedy="Give one of them")
        rules = self.rules
        if rules.signals and self.strikes_per_event > 1:
            raise ConfigError(
                f"regime {self.regime} with strikes = {self.strikes}", remedy="Its events have one market"
            )
        if self.uninformed is not None and not rules.mixed_takers:
            raise ConfigError(
                f"uninformed = {self.uninformed} in regime {self.regime}, where every taker order is informed",
                remedy="Use planted-maker or calibrated",
            )
        if self.waves > self.markets:
            raise ConfigError(
                f"synth.waves = {self.waves}, more than the {self.markets} markets",
                remedy=f"Set synth.waves to {self.markets} or fewer",
            )

    @property
    def rules(self) -> Regime:
        """Rates and distributions of the regime."""
        return REGIMES[self.regime]

    @property
    def strikes_per_event(self) -> int:
        """Markets of one event."""
        return self.strikes or self.rules.strikes

    @property
    def jump_pips(self) -> int:
        """By how much p jumps after a signal."""
        return self.jump_cents * CENT


_RANGES: list[tuple[str, float, float]] = [
    ("markets", 1, 1_000_000),
    ("strikes", 0, 100),
    ("hours", 0.0, 24.0 * 365),
    ("waves", 1, 1_000_000),
    ("updates", 0, 2**40),
    ("seed", 0, 2**63 - 1),
    ("start_ns", 1, 2**61),
    ("feed_ms", 0.0, 10_000.0),
    ("jitter_ms", 0.0, 10_000.0),
    ("width_ticks", 0.0, 1_000.0),
    ("theta", 0.5, 1.0),
    ("jump_cents", 1, 14),
    ("signal_mean_s", 0.1, math.inf),
    ("signal_length_s", 0.01, 3_600.0),
    ("signal_factor", 2, 1_000),
    ("position_limit", 1, 1_000_000),
    ("uninformed", 0.0, 1.0),
    ("gaps_per_hour", 0.0, 3_600.0),
    ("gap_s", 0.001, 3_600.0),
    ("paused_share", 0.0, 1.0),
    ("pause_s", 0.001, 86_400.0),
    ("rescheduled_share", 0.0, 1.0),
]
