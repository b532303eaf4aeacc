"""State of the generator as records, and the rows it writes. Probabilities are whole parts per million of a dollar."""

from __future__ import annotations

import numpy as np

from kalshi_ray.core.units import CENT_GRID, DECI_CENT_GRID, FINEST_GRID, TAPERED_GRID
from kalshi_ray.data.schema import TRUTH, UPDATES

ONE = 1_000_000  # certainty, in parts per million
PIP = 100  # parts per million
CENT_PPM = 10_000
NEVER = 2**62

# Subscriptions, as the exchange numbers its channels.
SID_BOOK, SID_TRADE, SID_LIFE = 1, 2, 3

CENT_CODE, DECI_CODE, TAPERED_CODE, FINEST_CODE = range(4)
GRIDS = (CENT_GRID, DECI_CENT_GRID, TAPERED_GRID, FINEST_GRID)  # by code
GRID_CODES = {"cent": CENT_CODE, "deci": DECI_CODE, "tapered": TAPERED_CODE, "finest": FINEST_CODE}

LADDER = 64  # places of a side's ladder, a power of two
DEEPEST = 30  # levels a side keeps
SHALLOWEST = 10  # levels a side is filled up to, where the grid has them

ROW = np.dtype([(field.name, field.type.to_pandas_dtype()) for field in UPDATES])
TRUTH_ROW = np.dtype([(field.name, field.type.to_pandas_dtype()) for field in TRUTH])

# Tables of the session: inverse distribution functions, 257 quantiles each.
TABLE_POINTS = 257
LEVEL_SIZES, PRINT_SIZES, NEWS, BURST, CALM = range(5)
TABLES = 5

# One market. `[2]` is by side, bid and ask.
MARKET = np.dtype(
    [
        ("event", np.int64),
        ("grid", np.int64),  # code
        ("p", np.int64),  # ppm, what quotes stand around
        ("half", np.int64),  # ppm, w / 2
        ("offset", np.int64, 2),  # the quote's extra distance, in units
        ("before", np.int64, 2),  # offset before the last flicker
        ("unit", np.int64),  # ticks between levels
        ("breadth", np.float64),  # odds that a flicker widens
        ("factor", np.int64, 2),  # of resting sizes: 4 on the side of a signal
        ("signal", np.int64),
        ("signal_end", np.int64),
        ("scale", np.float64),  # contracts per unit of the table of level sizes
        ("news_scale", np.float64),  # ppm per unit of the table of news; 0: one tick, back to the lattice
        ("uninformed", np.float64),  # share of taker orders
        ("noise", np.float64),  # rates per second
        ("flicker", np.float64),
        ("news", np.float64),
        ("trade", np.float64),
        ("onset", np.float64),  # of signals, where p is far from the ends
        ("hold", np.float64),  # of size noise during a signal
        ("follow", np.float64),  # odds that a moment triggers another at once; 0: times are exponential
        ("calm", np.float64),  # seconds per unit of the table of calm waits
        ("profile", np.float64, 4),  # activity by quarter of the market's life
        ("stale", np.int64),  # 1: book rows are lost until the resync; 2: being built, nothing is sent
        ("count", np.int64, 2),  # levels
        ("base", np.int64, 2),  # place of the deepest level
        ("tick", np.int64, (2, LADDER)),
        ("size", np.int64, (2, LADDER)),
    ],
    align=True,
)

# Phases of an event, in this order; a time of 0 leaves the phase out.
OPEN, RESCHEDULE, PAUSE, RESUME, CLOSE, SETTLE = range(6)
PHASES = 6
EVENT = np.dtype(
    [
        ("first", np.int64),  # first market
        ("strikes", np.int64),
        ("rest", np.int64),  # ppm of the outcome that has no market
        ("phase", np.int64),  # next one
        ("times", np.int64, PHASES),
        ("close", np.int64),  # the real close
        ("opened", np.int64),
        ("active", np.int64),
    ],
    align=True,
)

# The whole session.
STREAM = np.dtype(
    [
        ("counter", np.uint64),  # of the random generator
        ("now", np.int64),  # exchange time of the last moment, whole microseconds
        ("recv", np.int64),  # receive time of the next frame
        ("stop", np.int64),
        ("seq", np.int64, 4),  # by sid
        ("rows", np.int64),  # written to the present batch
        ("truths", np.int64),
        ("feed", np.int64),  # ns
        ("jitter", np.int64),  # ns
        ("shift", np.float64),  # ppm by which a signal moves the probability
        ("jump", np.int64),  # ppm
        ("theta", np.float64),
        ("signal_ns", np.int64),
        ("factor", np.int64),
        ("gap_mean", np.float64),  # ns between gaps
        ("gap_ns", np.int64),
        ("cursor", np.int64),  # next market to resync; -1: no gap
        ("signals", np.int64),  # counts
        ("trades", np.int64),
        ("stake", np.float64),  # of taker orders, ppm, a contract of every print
        ("gain", np.float64),  # what they gain if all were informed
        ("loss", np.float64),  # what they lose if all were uninformed
        ("paid", np.float64),  # what they lost
    ],
    align=True,
)
