"""Kernels that count what a fragment of `[T, B]` columns holds: decisions, rewards, features, what rows knew.

They run once a fragment, `glance` once a step: counting must cost next to nothing beside the sampling it watches.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.observe import measure
from kalshi_ray.core.orders import CommandKind
from kalshi_ray.core.units import CENT, CONTRACT
from kalshi_ray.train.lines import SPREADS, TOUCHES

CANCEL = int(CommandKind.CANCEL)
ID_BITS = 40  # an order of another size than its id says, in one number: id << 40 | lots

_S0, _S1, _S2, _S3 = (cents * CENT for cents in SPREADS)
_L0, _L1, _L2 = (contracts * CONTRACT for contracts in TOUCHES)

# What a row knew at a decision, and what it sent then.
GLANCE = np.dtype(
    [
        ("view_index", np.int32),
        ("spread", np.int32),  # pips; a missing side counts as the worst price
        ("touch", np.int64),  # lots at both best prices
        ("position", np.int64),  # lots
        ("sent", np.int64),  # lots of the order that followed; 0: none
    ],
    align=True,
)

# What rows have counted in their episodes. Money in micros, sizes in lots.
LEDGER = np.dtype(
    [
        (name, np.int64)
        for name in (
            "equity", "refund", "fees", "spread_cost", "holds", "fills", "maker_fills", "traded", "sent",
            "filled_orders", "rejected", "clipped",
        )
    ],
    align=True,
)  # fmt: skip

# Sums over decisions. A decision has a choice where more than one action is legal.
SUMS = np.dtype(
    [
        ("steps", np.int64),
        ("choices", np.int64),
        ("holds", np.int64),  # of the choices
        ("surprise", np.float64),  # -log of the probability of what was chosen, nats: its mean is the entropy
        ("random_entropy", np.float64),  # of a random policy under the same masks, nats
        ("random_holds", np.float64),
        ("reward", np.float64),
        ("reward_square", np.float64),
        ("zero_rewards", np.int64),
        ("positions", np.int64),  # lots held, either way
        ("flat", np.int64),  # decisions without a position
    ],
    align=True,
)

# The same by action id.
ACTION_SUMS = np.dtype(
    [
        ("choices", np.int64),
        ("random", np.float64),  # choices of a random policy under the same masks
        ("steps", np.int64),  # with those that had no choice
        ("reward", np.float64),
        ("sent", np.int64),  # orders of the full size
    ],
    align=True,
)

# By spread and liquidity.
BIN_SUMS = np.dtype([("choices", np.int64), ("holds", np.int64), ("orders", np.int64)], align=True)


@kernel
def glance(traders, seen, t):
    """Write what every row knows into `seen[t]`, of [T + 1, B] GLANCE, and what it has sent since into the one before.

    An episode that ended in between has taken its last command with it.
    """
    for row in range(traders.shape[0]):
        trader = traders[row]
        if t > 0 and trader.command_count > 0 and trader.commands[0].kind != CANCEL:
            seen[t - 1, row].sent = trader.commands[0].size
        now = seen[t, row]
        now.view_index = trader.view_index
        now.spread = trader.mark_ask - trader.mark_bid
        now.touch = trader.bid_size + trader.ask_size
        now.position = trader.account.position
        now.sent = 0


@kernel
def read_ledger(traders, ledger):
    """Sum what all rows have counted in their episodes so far into one LEDGER record."""
    total = ledger[0]
    total.equity = 0
    total.refund = 0
    total.fees = 0
    total.spread_cost = 0
    total.holds = 0
    total.fills = 0
    total.maker_fills = 0
    total.traded = 0
    total.sent = 0
    total.filled_orders = 0
    total.rejected = 0
    total.clipped = 0
    for row in range(traders.shape[0]):
        trader = traders[row]
        total.equity += trader.equity
        total.refund += trader.account.refund
        total.fees += trader.account.fees
        total.spread_cost += trader.spread_cost
        total.holds += trader.holds
        total.fills += trader.fills
        total.maker_fills += trader.maker_fills
        total.traded += trader.traded
        total.sent += trader.sent
        total.filled_orders += trader.filled_orders
        total.rejected += trader.rejected
        total.clipped += trader.clipped


@kernel
def count_decisions(mask, action, logp, reward, alive, seen, sizes, weights, logs, sums, by_action, by_bin, odd):
    """Count the steps of one fragment.

        mask, action, logp, reward, alive    [T + 1, B, A], then [T, B]; alive: the row played
        seen, sizes                          [T + 1, B] GLANCE; [A] lots of every id, 0 where nothing is known of rows
        weights, logs                        [A + 1] 1 / n and log n
        sums, by_action, by_bin              [1] SUMS, [A] ACTION_SUMS, [spreads, touches] BIN_SUMS
        odd                                  [N] id and lots, in one number, of orders of another size than the id says

    Returns how many of `odd` were filled.
    """
    odd_count = 0
    total = sums[0]
    actions = by_action.shape[0]
    for t in range(action.shape[0]):
        for b in range(action.shape[1]):
            if not alive[t, b]:
                continue
            chosen = action[t, b]
            by = by_action[chosen]
            worth = np.float64(reward[t, b])
            total.steps += 1
            total.reward += worth
            total.reward_square += worth * worth
            total.zero_rewards += worth == 0.0
            by.steps += 1
            by.reward += worth
            view = seen[t, b]
            total.positions += abs(view.position)
            total.flat += view.position == 0
            if view.sent == sizes[chosen]:
                by.sent += chosen > 0
            elif view.sent > 0 and odd_count < odd.shape[0]:
                odd[odd_count] = (chosen << ID_BITS) + view.sent
                odd_count += 1
            legal = 0
            for a in range(actions):
                legal += mask[t, b, a]
            if legal < 2:
                continue
            weight = weights[legal]
            for a in range(actions):
                by_action[a].random += weight * mask[t, b, a]
            total.choices += 1
            total.holds += chosen == 0
            total.surprise -= logp[t, b]
            total.random_entropy += logs[legal]
            total.random_holds += weight * mask[t, b, 0]
            by.choices += 1
            place = by_bin[_spread_bin(view.spread), _touch_bin(view.touch)]
            place.choices += 1
            place.holds += chosen == 0
            place.orders += view.sent > 0
    return odd_count


@kernel
def _spread_bin(pips):
    return int(pips >= _S0) + int(pips >= _S1) + int(pips >= _S2) + int(pips >= _S3)


@kernel
def _touch_bin(lots):
    return int(lots >= _L0) + int(lots >= _L1) + int(lots >= _L2)


@kernel
def measure_features(observation, base, low, high, total, square):
    """Least, largest, sum and sum of squares of every feature less its `base`; all but [T, B, F] are [F] float32."""
    for t in range(observation.shape[0]):
        for b in range(observation.shape[1]):
            for f in range(observation.shape[2]):
                value = observation[t, b, f]
                low[f] = min(low[f], value)
                high[f] = max(high[f], value)
                away = value - base[f]
                total[f] += away
                square[f] += away * away


@kernel
def count_cuts(traders, rules, facts, values, index, low, high, cuts):
    """Count per feature, [F], which rows' raw values lie outside the range that the policy sees."""
    for row in range(traders.shape[0]):
        measure(traders[row], rules, facts[0])
        for f in range(index.shape[0]):
            value = values[index[f]]
            cuts[f] += value < low[f] or value > high[f]
