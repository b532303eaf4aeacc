"""The constants a row lives by, as one record for the kernels. Settings become this record at the border."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class FillModel(IntEnum):
    """How a cancel at our level moves our place in the queue (market-rules.md section 5)."""

    PESSIMISTIC = 0  # not at all: only prints do
    FITTED = 1  # by a power law of the share in front of us
    OPTIMISTIC = 2  # every cancel was in front of us


PPM = 1_000_000

RULES = np.dtype(
    [
        ("bankroll", np.int64),  # micros a row starts with
        ("position_limit", np.int64),  # lots, either way
        ("fee_precision", np.int64),  # micros: 100 for a direct member
        ("decision_ns", np.int64),  # shortest time between decisions
        ("burst_ns", np.int64),  # wait after the first undecided change
        ("lifetime_ns", np.int64),  # of a resting order
        ("budget_interval_ns", np.int64),  # a command's worth of budget grows back in this time
        ("budget_burst", np.int64),  # commands that can go at once
        ("feed_ns", np.int64),  # latencies: an update to us, a command to the exchange, an answer to us
        ("entry_ns", np.int64),
        ("response_ns", np.int64),
        ("latency_spread_ppm", np.int64),  # entry and response are drawn within this share around their value
        ("fill_model", np.int64),
        ("cost_share_ppm", np.int64),  # PPM: full spread and fee; below it the ledger refunds the rest (training only)
        ("max_decisions", np.int64),  # of an episode; 0: the whole view
        ("mask_opposite_buy", np.int8),
        ("mask_repeated_hold", np.int32),  # HOLD is masked after so many in a row where another is legal; 0 off
    ],
    align=True,
)
