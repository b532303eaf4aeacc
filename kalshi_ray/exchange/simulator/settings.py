"""What the simulated exchange is told: its rules, and the terms of each market."""

from __future__ import annotations

from typing import Literal

import msgspec

from kalshi_ray.core.fees import CLEARED_PRECISION, COMBO_MAKER_PPM, DIRECT_PRECISION, MAKER_PPM, TAKER_PPM
from kalshi_ray.core.rules import PPM, FillModel
from kalshi_ray.core.units import CENT, DOLLAR, PriceGrid
from kalshi_ray.errors import ConfigError
from kalshi_ray.wire.messages import Ranges

Member = Literal["direct", "cleared"]
PRECISIONS: dict[str, int] = {"direct": DIRECT_PRECISION, "cleared": CLEARED_PRECISION}

# Maker rate by fee type; the taker rate is the same in all. "flat" is defined and used by no series: refused.
MAKER_RATES: dict[str, int] = {
    "quadratic": 0,
    "quadratic_with_maker_fees": MAKER_PPM,
    "quadratic_with_combo_maker_fees": COMBO_MAKER_PPM,
}


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of the exchange. Defaults are the real one's, and the environment's where that has a say."""

    # How a cancel of the flow moves the place of an order behind it.
    fill_model: Literal["pessimistic", "fitted", "optimistic"] = "pessimistic"
    # Fees are booked to $0.0001 for direct members, to a cent for accounts cleared by another firm.
    member: Member = "direct"
    # Working orders of one account.
    max_orders: int = 200_000
    # Order groups of one account.
    max_groups: int = 100_000
    # Orders no longer working, fills and settlements that are kept for each account, and trades for each market.
    kept: int = 200_000

    def __post_init__(self) -> None:
        for name in ("max_orders", "max_groups", "kept"):
            if getattr(self, name) < 1:
                raise ConfigError(f"simulator.{name} must be at least 1, got {getattr(self, name)}")

    @property
    def model(self) -> FillModel:
        """The fill model by name."""
        return FillModel[self.fill_model.upper()]


class MarketTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market as it is listed. Times in ns, 0 unknown or never; prices in pips."""

    ticker: str
    event: str = ""
    series: str = ""
    title: str = ""
    category: str = ""
    ranges: Ranges = ((0, DOLLAR, CENT),)
    price_structure: str = "linear_cent"  # a label; `ranges` counts
    fee_type: str = "quadratic_with_maker_fees"
    multiplier_ppm: int = PPM
    open_ns: int = 0  # opens at once
    close_ns: int = 0  # stays open
    settlement_timer_s: int = 0  # from determination to payout
    exchange_index: int = 0
    mutually_exclusive: bool = False  # with the other markets of its event

    def __post_init__(self) -> None:
        if not self.ticker:
            raise ConfigError("a market needs a ticker")
        if self.fee_type not in MAKER_RATES:
            raise ConfigError(
                f"{self.ticker}: fee type {self.fee_type!r} is not known", remedy=f"Known: {', '.join(MAKER_RATES)}"
            )
        if not 0 <= self.multiplier_ppm <= 10 * PPM:
            raise ConfigError(f"{self.ticker}: fee multiplier {self.multiplier_ppm} ppm is not between 0 and 10")
        if self.settlement_timer_s < 0:
            raise ConfigError(f"{self.ticker}: settlement timer must not be negative, got {self.settlement_timer_s} s")
        if self.close_ns and self.close_ns <= self.open_ns:
            raise ConfigError(f"{self.ticker}: it closes at {self.close_ns} ns, before it opens at {self.open_ns} ns")
        PriceGrid(self.ranges)  # refuses what is no grid

    @property
    def rates(self) -> tuple[int, int]:
        """Fee rates of taker and maker in parts per million."""
        return rates_of(self.fee_type, self.multiplier_ppm)


def rates_of(fee_type: str, multiplier_ppm: int) -> tuple[int, int]:
    """Fee rates of taker and maker in parts per million."""
    if fee_type not in MAKER_RATES:
        raise ConfigError(f"fee type {fee_type!r} is not known", remedy=f"Known: {', '.join(MAKER_RATES)}")
    return TAKER_PPM * multiplier_ppm // PPM, MAKER_RATES[fee_type] * multiplier_ppm // PPM
