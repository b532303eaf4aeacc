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

    regime: RegimeName = "calibrated"  # null | planted | planted-maker | calibrated
    markets: int = 96  # markets in all
    strikes: int = 0  # markets of one event; 0: the regime's own (1; calibrated 6, and some mirror pairs)
    hours: float = 0.0  # life of a market; 0: the regime's own (0.5; calibrated 2)
    waves: int = 4  # events live one after another in so many waves, so that they can be split by time
    updates: int = 0  # about so many updates in all, instead of `hours`; 0: as `hours` gives
    seed: int = 0  # of everything
    start_ns: int = 1_767_625_200_000_000_000  # when the first markets open (2026-01-05 15:00 UTC)
    feed_ms: float = 50.0  # from exchange to us
    jitter_ms: float = 2.0  # mean of an even extra delay; the order of arrival stays that of the exchange
    grid: GridName = "cent"  # cent | deci | tapered | finest | mixed (cent, deci and tapered by market)
    width_ticks: float = 0.0  # w of every market in ticks; 0: drawn as the regime says
    theta: float = 0.9  # odds that a signal points the right way (planted)
    jump_cents: int = 8  # by which p jumps after a signal (planted)
    signal_mean_s: float = 60.0  # mean time between signals (planted)
    signal_length_s: float = 3.0  # from the signal to the jump (planted)
    signal_factor: int = 4  # of the resting size on the side of the signal (planted)
    position_limit: int = 50  # contracts, of the oracle that the session is measured by (planted)
    uninformed: float | None = None  # share of uninformed taker orders; unset: takers lose 1.1 % of stake
    gaps_per_hour: float = 0.0  # gaps of the recording
    gap_s: float = 2.0  # length of a gap
    paused_share: float = 0.0  # of events that are paused once
    pause_s: float = 60.0  # length of a pause
    rescheduled_share: float = 0.0  # of events whose scheduled close is moved once
    settle: bool = True  # end markets by the venue's result

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
            raise ConfigError(f"waves = {self.waves} for {self.markets} markets", remedy="Give a wave to each at most")

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
