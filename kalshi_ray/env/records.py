"""Records that the environment keeps and hands out: where a row stands, finished episodes, fills."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Where a row stands on its tape, and what to play next.
PROGRESS = np.dtype(
    [
        ("view_index", np.int32),
        ("next_view", np.int32),  # chosen by the sampler for the following episode
        ("next_start", np.int64),  # row of the tape; -1: the start of the view
        ("needs_next", np.int8),  # the following episode has been started: choose another
        ("idle", np.int8),  # nothing to play: the row stands still
        ("cursor", np.int64),  # next row of the tape that the trader has not seen
        ("stop", np.int64),
        ("equity", np.int64),  # micros at the last decision
        ("spread_cost", np.int64),
        ("reward_sum", np.float64),
        ("seed", np.uint64),  # of the row's latency draws
        ("episodes", np.int64),
    ],
    align=True,
)

# One finished episode. Money in micros, sizes in lots.
EPISODE = np.dtype(
    [
        ("row", np.int32),
        ("view_index", np.int32),
        ("steps", np.int64),
        ("started_ns", np.int64),
        ("ended_ns", np.int64),
        ("terminated", np.int8),  # settled by the venue; otherwise truncated
        ("book_known", np.int8),  # at the end
        ("equity_start", np.int64),
        ("equity_end", np.int64),
        ("cash_end", np.int64),
        ("position_end", np.int64),  # before settlement
        ("reward_sum", np.float64),
        ("fees", np.int64),
        ("refund", np.int64),
        ("realized", np.int64),
        ("spread_cost", np.int64),
        ("stake", np.int64),
        ("fills", np.int64),
        ("maker_fills", np.int64),
        ("traded", np.int64),
        ("orders_sent", np.int64),
        ("orders_filled", np.int64),
        ("holds", np.int64),
        ("refused", np.int64),
        ("rejected", np.int64),
        ("clipped", np.int64),
        ("max_drawdown", np.int64),
        ("peak_exposure", np.int64),
        ("ladder_value", np.int64),  # what walking the shown depth would bring for the position, taker fees paid
        ("mark_bid", np.int32),
        ("mark_ask", np.int32),
        ("fault", np.int32),  # an answer that no order could get: see core.trader
    ],
    align=True,
)

# One execution at one price.
FILL = np.dtype(
    [
        ("row", np.int32),
        ("view_index", np.int32),
        ("episode", np.int64),
        ("venue_ns", np.int64),  # when it happened on the exchange
        ("decision_ns", np.int64),  # when the order was decided
        ("order_id", np.int64),
        ("side", np.int8),  # +1 bought YES, -1 sold YES
        ("maker", np.int8),
        ("price", np.int32),  # pips
        ("size", np.int64),  # lots
        ("fee", np.int64),  # micros
        ("bid", np.int32),  # pips, marks at the decision
        ("ask", np.int32),
        ("position", np.int64),  # lots after the fill
        ("cash", np.int64),  # micros after it
    ],
    align=True,
)

# How a step is rewarded, beside the change of equity.
REWARD = np.dtype(
    [
        ("per_micro", np.float64),  # unit of the reward
        ("spread_penalty", np.float64),  # share of the spread paid by taking, charged again (a shaping term)
        ("hold_bonus", np.float64),  # per HOLD, in the unit of the reward (a shaping term)
    ],
    align=True,
)


def joined(chunks: Sequence[NDArray[np.void]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """The records of all chunks in order, [sum of lengths]; numpy would compare their fields pair by pair."""
    every = np.empty(sum(map(len, chunks)), dtype)
    at = 0
    for chunk in chunks:
        every[at : at + len(chunk)] = chunk
        at += len(chunk)
    return every
